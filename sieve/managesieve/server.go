package managesieve

import (
	"context"
	"sync"

	"letterlock/internal/serve"
)

// Server is the rule desk. One serves any number of listeners: give its Handle
// to [serve.Options].
type Server struct {
	opt      Options
	commands map[string]spec

	mu    sync.Mutex // guards users
	users map[uint64]int
}

// New makes a server.
func New(opt Options) *Server {
	return &Server{opt: opt.withDefaults(), commands: commands(), users: make(map[uint64]int)}
}

// TooManyConnections is what a connection over a limit reads before it is
// closed, for [serve.Options].TooMany.
const TooManyConnections = "BYE (TRYLATER) \"Too many connections\"\r\n"

// Handle serves one connection from greeting to end.
func (srv *Server) Handle(ctx context.Context, conn *serve.Conn) {
	s := newSession(srv, conn)
	defer s.end()
	s.run(ctx)
}

// enter counts one more session of the account, unless it has enough.
func (srv *Server) enter(account uint64) bool {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	if srv.users[account] >= srv.opt.MaxPerUser {
		return false
	}
	srv.users[account]++
	return true
}

func (srv *Server) leave(account uint64) {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	if srv.users[account]--; srv.users[account] == 0 {
		delete(srv.users, account)
	}
}
