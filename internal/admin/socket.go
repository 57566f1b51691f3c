package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// SocketPath is where the admin socket of a data folder lies.
func SocketPath(data string) string { return filepath.Join(data, "admin.sock") }

// maxSocketPath is how many octets the path of a UNIX socket may have on this
// system, the closing NUL left out.
const maxSocketPath = len(syscall.RawSockaddrUnix{}.Path) - 1

// CheckSocketPath refuses a data folder whose admin socket the system could
// not name.
func CheckSocketPath(data string) error {
	path := SocketPath(data)
	if len(path) <= maxSocketPath {
		return nil
	}
	return refuse("choose a shorter data folder, or start in it and say data = \".\"",
		"the path of the admin socket is %d octets long, this system allows %d: %s", len(path), maxSocketPath, path)
}

// Socket answers operations over the admin socket of a data folder.
type Socket struct {
	listener net.Listener
	server   *http.Server
	busy     sync.WaitGroup // operations that are being carried out

	mu    sync.Mutex // guards ended
	ended bool       // none begins any more
}

// ListenSocket opens the admin socket. The caller holds the store open, so a
// socket that lies there already belongs to nobody and is removed.
func ListenSocket(data string, desk Operations, log *slog.Logger) (*Socket, error) {
	if err := CheckSocketPath(data); err != nil {
		return nil, err
	}
	path := SocketPath(data)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("admin socket: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("admin socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, fmt.Errorf("admin socket: %w", err)
	}
	s := &Socket{listener: l}
	work := routes(desk)
	s.server = httpServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.begin() {
			defer s.busy.Done()
			work.ServeHTTP(w, r)
		}
	}), log)
	return s, nil
}

// Run answers until ctx ends. Operations that have begun have a second to
// finish, then they are told to stop; when Run returns, none uses the store.
func (s *Socket) Run(ctx context.Context) error {
	err := runHTTP(ctx, s.server, s.listener)
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	s.busy.Wait()
	return err
}

// begin says whether an operation may still begin.
func (s *Socket) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended {
		s.busy.Add(1)
	}
	return !s.ended
}

// Close closes the socket. Run does it by itself; Close is for one that never ran.
func (s *Socket) Close() error { return s.listener.Close() }

// httpServer bounds what a stranger can make us wait for.
func httpServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      time.Minute,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// runHTTP serves until ctx ends and gives what has begun a second.
func runHTTP(ctx context.Context, srv *http.Server, l net.Listener) error {
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if err := srv.Shutdown(grace); err != nil {
		srv.Close()
	}
	<-served
	return nil
}

// maxRequest bounds one operation's arguments, in octets.
const maxRequest = 1 << 20

// operation joins one operation's path with what carries it out, for the
// server's side and for the client's, so that the two cannot disagree.
type operation[In, Out any] struct {
	path string
	do   func(Operations, context.Context, In) (Out, error)
}

type nothing struct{}

var (
	addUser     = operation[Login, User]{"/v1/user/add", Operations.AddUser}
	setPassword = operation[Login, User]{"/v1/user/passwd", Operations.SetPassword}
	removeUser  = operation[string, User]{"/v1/user/remove", Operations.RemoveUser}
	listUsers   = operation[nothing, []User]{"/v1/user/list", func(o Operations, ctx context.Context, _ nothing) ([]User, error) { return o.Users(ctx) }}
	addAlias    = operation[Alias, Alias]{"/v1/alias/add", Operations.AddAlias}
	removeAlias = operation[Alias, Alias]{"/v1/alias/remove", Operations.RemoveAlias}
	listAliases = operation[nothing, []Alias]{"/v1/alias/list", func(o Operations, ctx context.Context, _ nothing) ([]Alias, error) { return o.Aliases(ctx) }}
	showQuota   = operation[string, Quota]{"/v1/user/quota", Operations.Quota}
	setQuota    = operation[Limits, Quota]{"/v1/user/quota/set", Operations.SetQuota}
	showRelease = operation[string, Release]{"/v1/user/release", Operations.Release}
	setRelease  = operation[Release, Release]{"/v1/user/release/set", Operations.SetRelease}
	checkStore  = stream[nothing, Finding]{"/v1/check", func(o Operations, ctx context.Context, _ nothing, found func(Finding)) error {
		return o.Check(ctx, found)
	}}
	backupStore = stream[string, Progress]{"/v1/backup", Operations.Backup}
	whoServes   = operation[nothing, Server]{"/v1/server", func(o Operations, ctx context.Context, _ nothing) (Server, error) { return o.Server(ctx) }}
)

func routes(o Operations) http.Handler {
	mux := http.NewServeMux()
	addUser.answer(mux, o)
	setPassword.answer(mux, o)
	removeUser.answer(mux, o)
	listUsers.answer(mux, o)
	addAlias.answer(mux, o)
	removeAlias.answer(mux, o)
	listAliases.answer(mux, o)
	showQuota.answer(mux, o)
	setQuota.answer(mux, o)
	showRelease.answer(mux, o)
	setRelease.answer(mux, o)
	checkStore.answer(mux, o)
	backupStore.answer(mux, o)
	whoServes.answer(mux, o)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		send(w, http.StatusNotFound, refuse("the server runs another version than this command: restart it", "the server does not know %s", r.URL.Path))
	})
	return mux
}

// answer is the server's side: JSON in, JSON out, a refusal as 422.
func (op operation[In, Out]) answer(mux *http.ServeMux, o Operations) {
	mux.HandleFunc("POST "+op.path, func(w http.ResponseWriter, r *http.Request) {
		var in In
		if !receive(w, r, &in) {
			return
		}
		out, err := op.do(o, r.Context(), in)
		if err != nil {
			send(w, http.StatusUnprocessableEntity, refusalOf(err))
			return
		}
		send(w, http.StatusOK, out)
	})
}

// receive reads the arguments, or answers that they cannot be read.
func receive(w http.ResponseWriter, r *http.Request, in any) bool {
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequest)).Decode(in)
	if err != nil {
		send(w, http.StatusBadRequest, refusalOf(fmt.Errorf("read the request: %w", err)))
	}
	return err == nil
}

func send(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v) // the peer is gone where this fails
}
