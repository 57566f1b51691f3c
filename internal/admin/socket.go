package admin

import (
	"context"
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
