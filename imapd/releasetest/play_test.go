package releasetest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"letterlock/storage"
)

func itoa(n int) string { return strconv.Itoa(n) }

// atOnce is how many commands are sent before the first answer is read.
const atOnce = 16

// alone is commands that are given one by one, for what may follow them.
var alone = map[string]func(w *twins, command string){
	"APPEND": (*twins).change, "COPY": (*twins).change, "MOVE": (*twins).change, "REPLACE": (*twins).change, "STORE": (*twins).change,
	"EXPUNGE": (*twins).change, "CREATE": (*twins).change,
	"DELETE": (*twins).leave, "RENAME": (*twins).leave, "CLOSE": (*twins).leave, "UNSELECT": (*twins).leave,
	"SELECT": (*twins).selecting, "EXAMINE": (*twins).selecting,
	"COMPRESS": (*twins).anew, "ENABLE": (*twins).anew, "LOGOUT": (*twins).anew, "UNAUTHENTICATE": (*twins).again,
	"IDLE": (*twins).idle, "NOTIFY": (*twins).notify,
}

// play gives commands, looks at all that comes, and at the tagged letters.
func (w *twins) play(commands []string) {
	w.t.Helper()
	if len(commands) > 0 {
		w.warm()
	}
	var waiting []string
	give := func() {
		if len(waiting) > 0 {
			w.ask(waiting...)
			w.unchanged()
			waiting = nil
		}
	}
	for _, command := range commands {
		if strings.Contains(w.mode.enable, "UTF8=ACCEPT") && !strings.HasPrefix(command, "SORT") && !strings.HasPrefix(command, "THREAD") {
			command = strings.ReplaceAll(command, "CHARSET UTF-8 ", "") // RFC 6855 §3
			command = strings.ReplaceAll(command, "CHARSET US-ASCII ", "")
		}
		how := alone[nameOf(command)]
		if strings.Contains(command, "(UPDATE") {
			how = (*twins).update
		}
		if how == nil {
			if waiting = append(waiting, command); len(waiting) == atOnce {
				give()
			}
			continue
		}
		give()
		how(w, command)
		w.unchanged()
	}
	give()
}

// change gives a command that changes what is in mailboxes, and undoes it.
func (w *twins) change(command string) {
	w.ask(command)
	w.unchanged()
	w.restore()
}

// leave gives a command after which no mailbox may be selected, or another one.
func (w *twins) leave(command string) {
	w.ask(command)
	w.unchanged()
	w.restore()
	w.must("SELECT " + w.home)
}

// selecting looks into a mailbox as far as a change of its flags goes.
func (w *twins) selecting(command string) {
	if w.ask(command)[0] == "OK" {
		w.at = strings.Fields(command)[1]
		w.ask("STORE 1:* +FLAGS (\\Seen)", "UID FETCH 1:* (FLAGS ENVELOPE)", "SEARCH TEXT quagga", "EXPUNGE", "CLOSE")
		w.at = w.home
		w.unchanged()
		w.restore()
	}
	w.must("SELECT " + w.home)
}

// anew gives a command after which the connection is another one, and begins a new one.
func (w *twins) anew(command string) {
	w.ask(command)
	if strings.HasPrefix(command, "ENABLE") {
		w.agrees()
		w.ask("FETCH 1:* ENVELOPE", "UID FETCH 1:* (MODSEQ PREVIEW)", "SEARCH SUBJECT quagga", "SELECT INBOX")
	}
	w.enter(w.mode)
}

// again logs out and in on one connection (RFC 8437).
func (w *twins) again(command string) {
	w.must(command)
	if w.mode.compress {
		w.both(func(x *twin) error { x.c = newClient(x.c.raw); return nil })
	}
	w.logIn("LOGIN <me> " + secret)
}

// idle waits for what comes in, and hears of changes (RFC 9051 §6.3.13).
func (w *twins) idle(command string) {
	w.tag++
	tag := fmt.Sprintf("a%d", w.tag)
	w.say(tag + " " + command)
	var answers [2]string
	hear := func(word string) {
		w.both(func(x *twin) error {
			answers[x.number] += x.c.until(func(line string) bool { return strings.Contains(line, word) })
			return x.c.err
		})
	}
	w.both(func(x *twin) error { x.c.send(tag + " " + command + "\r\n"); return nil })
	hear("+ ")
	held := w.deliver(w.another(true))
	if !w.hidden() {
		hear(" EXISTS")
	}
	open := w.deliver(w.another(false))
	hear(" EXISTS")
	w.note()
	w.flag(open, `\Answered`)
	hear(" FETCH (")
	w.both(func(x *twin) error {
		x.c.send("DONE\r\n")
		answers[x.number] += x.c.until(tagged(tag))
		return x.c.err
	})
	w.judge(command, answers)
	w.ok["IDLE"]++
	w.remove(held)
	w.remove(open)
	w.note()
	w.agrees()
}

func (w *twins) hidden() bool { return w.class.hides && !w.class.may }

// another is a letter that comes in meanwhile.
func (w *twins) another(tagged bool) *letter {
	for i := range letters {
		if l := &letters[i]; l.tagged == tagged {
			came := w.anotherOf(l)
			came.mailbox = w.home
			return came
		}
	}
	return nil
}

// anotherOf is an open letter with identifiers of its own: when the vault forgets
// those of letters that are gone is its own affair. It is a tagged letter as it is.
func (w *twins) anotherOf(l *letter) *letter {
	came := *l
	if !l.tagged {
		w.came++
		text := strings.ReplaceAll(l.text(0), "@open.example>", fmt.Sprintf("@open%d.example>", w.came))
		came.text = open(text)
	}
	return &came
}

func (w *twins) flag(uids [2]storage.UID, flag string) {
	w.inVault(func(x *twin) error {
		_, err := x.who.account.StoreFlags(context.Background(), x.boxes[w.home], []storage.UID{uids[x.number]}, storage.AddFlags, []string{flag}, 0)
		return err
	})
}

func (w *twins) remove(uids [2]storage.UID) {
	w.inVault(func(x *twin) error {
		return x.who.account.Expunge(context.Background(), x.boxes[w.home], []storage.UID{uids[x.number]})
	})
}

// notify asks to be told, and is told. The session ends with it: it would hear of
// what the tester restores when it comes, and not when it asks.
func (w *twins) notify(command string) {
	w.ask(command)
	w.meanwhile()
	w.enter(w.mode)
}

// update asks for a result that is kept up to date (RFC 5267 §4.3).
func (w *twins) update(command string) {
	w.ask(command)
	tag := fmt.Sprintf("a%d", w.tag)
	w.meanwhile()
	w.ask(`CANCELUPDATE "` + tag + `"`)
}

// meanwhile is letters that come and go and change in the mailbox selected and in
// another one, with the session hearing of it at its own time.
func (w *twins) meanwhile() {
	w.unchanged()
	held := w.deliver(w.another(true))
	w.ask("NOOP")
	open := w.deliver(w.another(false))
	w.ask("NOOP")
	elsewhere := *w.another(true)
	elsewhere.mailbox = "Harbour"
	in := w.deliver(&elsewhere)
	w.ask("NOOP")
	w.flag(held, `\Flagged`)
	w.ask("NOOP")
	w.flag(open, `\Flagged`)
	w.ask("NOOP")
	w.note()
	w.remove(open)
	w.ask("NOOP")
	w.remove(held)
	w.ask("NOOP")
	w.inVault(func(x *twin) error {
		return x.who.account.Expunge(context.Background(), x.boxes["Harbour"], []storage.UID{in[x.number]})
	})
	w.ask("NOOP")
	w.note()
}

// looking is the commands that only look. They come first: the letters are all
// there, and in the threads they were made for.
var looking = []string{"FETCH", "SEARCH", "SORT", "THREAD", "ESEARCH"}

// names is every command's name.
func names() []string {
	list := slices.Sorted(maps.Keys(commands))
	list = slices.DeleteFunc(list, func(name string) bool { return slices.Contains(looking, name) })
	return append(slices.Clone(looking), list...)
}
