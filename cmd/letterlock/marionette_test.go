package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// thunderbird is the program without a window, and what it says: its commands to
// the mail server as "MAILBOX> COMMAND", and what that refused as "MAILBOX< ANSWER",
// among other lines.
type thunderbird struct {
	*child
	hand *marionette
	acts string // the source of acts, in testdata/thunderbird
}

// errWontStart is that of a Thunderbird that ends before it can be led.
var errWontStart = errors.New("thunderbird does not start")

// startThunderbird opens it on the profile in dir/profile, with a home in dir/home.
func startThunderbird(program, dir string) (*thunderbird, error) {
	acts, err := os.ReadFile("testdata/thunderbird/ann.js")
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(program, "--headless", "--no-remote", "--marionette", "--remote-allow-system-access", "--profile", filepath.Join(dir, "profile"))
	cmd.Env = append(os.Environ(), "HOME="+filepath.Join(dir, "home"), "TMPDIR="+filepath.Join(dir, "home"), "MOZ_HEADLESS=1", "MOZ_LOG=IMAP:3,sync")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // it has children
	out, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	cmd.Stdout = cmd.Stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	b := &thunderbird{child: &child{cmd: cmd, ended: make(chan struct{}), more: make(chan struct{})}, acts: string(acts)}
	said, says := io.Pipe()
	go tellCommands(says, out)
	go b.listen(said)
	line, err := b.await("Listening on port ")
	if err != nil {
		defer b.killAll()
		select {
		case <-b.ended:
			return nil, fmt.Errorf("%w: %v", errWontStart, cmd.ProcessState)
		default:
			return nil, err
		}
	}
	_, port, _ := strings.Cut(line, "Listening on port ")
	if b.hand, err = takeHand("127.0.0.1:" + port); err != nil {
		b.killAll()
		return nil, err
	}
	return b, nil
}

var (
	sentIMAP    = regexp.MustCompile(`:(?:S-)?([^:]*):SendData: (?:\d+ )?(.*)`)
	refusedIMAP = regexp.MustCompile(`:(?:S-)?([^:]*):CreateNewLineFromSocket: (\d+ (?:NO|BAD) .*|\* BYE .*)`)
)

// tellCommands shortens Thunderbird's log of IMAP, and leaves out what it says
// of the window that it has not.
func tellCommands(out *io.PipeWriter, in io.Reader) {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		text := lines.Text()
		if sent := sentIMAP.FindStringSubmatch(text); sent != nil {
			fmt.Fprintf(out, "%s> %s\n", sent[1], strings.TrimSpace(sent[2]))
		} else if refused := refusedIMAP.FindStringSubmatch(text); refused != nil {
			fmt.Fprintf(out, "%s< %s\n", refused[1], strings.TrimSpace(refused[2]))
		} else if strings.Contains(text, "Marionette") || strings.Contains(text, "JavaScript error") {
			fmt.Fprintln(out, text)
		}
	}
	out.CloseWithError(lines.Err())
}

// does has one of the acts done, and reads what it answers.
func (b *thunderbird) does(answer any, act string, args ...any) error {
	script := b.acts + `
const [act, ...args] = Array.from(arguments), tell = args.pop();
acts[act](...args).then(seen => tell({ seen }), e => tell({ failed: e + "\n" + e.stack }));`
	var got struct {
		Value struct {
			Seen   json.RawMessage
			Failed string
		}
	}
	err := b.hand.ask(&got, "WebDriver:ExecuteAsyncScript", map[string]any{"script": script, "args": append([]any{act}, args...)})
	if err == nil && got.Value.Failed != "" {
		err = errors.New(got.Value.Failed)
	}
	if err == nil && answer != nil {
		err = json.Unmarshal(got.Value.Seen, answer)
	}
	if err != nil {
		return fmt.Errorf("thunderbird does not %s %v: %w\n%s", act, args, err, b.said())
	}
	return nil
}

// quit ends it as a person does, with everything kept.
func (b *thunderbird) quit() error {
	if err := b.hand.ask(nil, "Marionette:Quit", map[string]any{"flags": []string{"eAttemptQuit"}}); err != nil {
		return err
	}
	_, err := b.end()
	return err
}

// killAll ends it and the processes it started.
func (b *thunderbird) killAll() {
	select {
	case <-b.ended: // nobody of them has it open any more
		return
	default:
	}
	syscall.Kill(-b.cmd.Process.Pid, syscall.SIGKILL)
	<-b.ended
}

// marionette leads a program of Mozilla's: packets are LENGTH:JSON.
type marionette struct {
	conn  net.Conn
	r     *bufio.Reader
	calls int
}

func takeHand(addr string) (*marionette, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	m := &marionette{conn: conn, r: bufio.NewReader(conn)}
	var hello struct{ MarionetteProtocol int }
	conn.SetDeadline(time.Now().Add(patience))
	if err := m.read(&hello); err != nil || hello.MarionetteProtocol != 3 {
		return nil, fmt.Errorf("marionette says protocol %d, want 3: %w", hello.MarionetteProtocol, err)
	}
	return m, errors.Join(m.ask(nil, "WebDriver:NewSession", map[string]any{}),
		m.ask(nil, "WebDriver:SetTimeouts", map[string]any{"script": 2 * patience / time.Millisecond}),
		m.ask(nil, "Marionette:SetContext", map[string]any{"value": "chrome"}))
}

// ask sends a command, and reads its answer.
func (m *marionette) ask(answer any, command string, params map[string]any) error {
	m.calls++
	packet, err := json.Marshal([]any{0, m.calls, command, params})
	if err != nil {
		return err
	}
	m.conn.SetDeadline(time.Now().Add(3 * patience))
	if _, err := fmt.Fprintf(m.conn, "%d:%s", len(packet), packet); err != nil {
		return err
	}
	var kind, call int
	var failure *struct{ Error, Message string }
	var result json.RawMessage
	if err := m.read(&[]any{&kind, &call, &failure, &result}); err != nil {
		return fmt.Errorf("%s: %w", command, err)
	}
	if failure != nil {
		return fmt.Errorf("%s: %s: %s", command, failure.Error, failure.Message)
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(result, answer)
}

func (m *marionette) read(answer any) error {
	size, err := m.r.ReadString(':')
	if err != nil {
		return err
	}
	n, err := strconv.ParseUint(strings.TrimSuffix(size, ":"), 10, 24)
	if err != nil {
		return err
	}
	packet := make([]byte, n)
	if _, err := io.ReadFull(m.r, packet); err != nil {
		return err
	}
	return json.Unmarshal(packet, answer)
}
