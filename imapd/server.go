package imapd

import (
	"context"
	"sync"

	"letterlock/imapd/query"
	"letterlock/internal/serve"
	"letterlock/storage"
)

// Server is the reading room. One serves any number of listeners: give its
// Handle to [serve.Options].
type Server struct {
	opt     Options
	memory  chan struct{} // a token for each small APPEND held in memory
	sorted  query.Cache
	views   openViews
	answers answers

	mu    sync.Mutex // guards users
	users map[storage.AccountID]int
}

// smallMessage is how big an APPEND may be to be held in memory, smallMessages
// how many at once; the others go through the store's spool.
const (
	smallMessage  = 1 << 20
	smallMessages = 64
)

// New makes a server.
func New(opt Options) *Server {
	return &Server{
		opt:    opt.withDefaults(),
		memory: make(chan struct{}, smallMessages),
		users:  make(map[storage.AccountID]int),
	}
}

// TooManyConnections is what a connection over a limit reads before it is
// closed, for [serve.Options].TooMany.
const TooManyConnections = "* BYE [UNAVAILABLE] Too many connections\r\n"

// Handle serves one connection from greeting to end.
func (srv *Server) Handle(ctx context.Context, conn *serve.Conn) {
	s := newSession(srv, conn)
	defer s.end()
	s.run(ctx)
}

// enter counts one more session of the account; full says that it has enough.
func (srv *Server) enter(id storage.AccountID) (full bool) {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	if srv.users[id] >= srv.opt.MaxPerUser {
		return true
	}
	srv.users[id]++
	return false
}

func (srv *Server) leave(id storage.AccountID) {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	if srv.users[id]--; srv.users[id] == 0 {
		delete(srv.users, id)
	}
}
