package admin

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"time"
)

// stream is an operation that takes long and has news on the way: a line of
// JSON for each, and now and then an empty one, so that both sides know that
// the other is there. Whoever hangs up ends the operation.
type stream[In, News any] struct {
	path string
	do   func(Operations, context.Context, In, func(News)) error
}

// bulletin is one line.
type bulletin[News any] struct {
	News    *News    `json:"news,omitempty"`
	Refusal *Refusal `json:"refusal,omitempty"` // the last line, when it went wrong
	Done    bool     `json:"done,omitempty"`    // the last line
}

// An empty line is sent every heartbeat; who hears none for silence, or cannot
// send one, takes the other for gone.
const (
	heartbeat = 5 * time.Second
	silence   = time.Minute
)

// answer is the server's side.
func (op stream[In, News]) answer(mux *http.ServeMux, o Operations) {
	mux.HandleFunc("POST "+op.path, func(w http.ResponseWriter, r *http.Request) {
		var in In
		if !receive(w, r, &in) {
			return
		}
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		t := &ticker[News]{w: json.NewEncoder(w), conn: http.NewResponseController(w), gone: cancel}
		t.begin()
		ended := make(chan struct{})
		var beating sync.WaitGroup
		beating.Go(func() { t.beat(ended) })
		err := op.do(o, ctx, in, func(n News) { t.say(bulletin[News]{News: &n}) })
		close(ended)
		beating.Wait()
		last := bulletin[News]{Done: true}
		if err != nil {
			last.Refusal = refusalOf(err)
		}
		t.say(last)
	})
}

// ticker writes lines, each under a deadline of its own.
type ticker[News any] struct {
	mu   sync.Mutex // one line at a time
	w    *json.Encoder
	conn *http.ResponseController
	gone context.CancelFunc // called where the client takes no more
}

// begin lets the client wait longer than it may for other answers.
func (t *ticker[News]) begin() {
	if err := t.conn.SetReadDeadline(time.Time{}); err != nil {
		t.gone()
	}
	t.say(bulletin[News]{})
}

func (t *ticker[News]) say(line bulletin[News]) {
	t.mu.Lock()
	defer t.mu.Unlock()
	err := t.conn.SetWriteDeadline(time.Now().Add(silence))
	if err == nil {
		err = t.w.Encode(line)
	}
	if err == nil {
		err = t.conn.Flush()
	}
	if err != nil {
		t.gone()
	}
}

func (t *ticker[News]) beat(ended <-chan struct{}) {
	every := time.NewTicker(heartbeat)
	defer every.Stop()
	for {
		select {
		case <-every.C:
			t.say(bulletin[News]{})
		case <-ended:
			return
		}
	}
}

// call is the client's side.
func (op stream[In, News]) call(ctx context.Context, c *Client, in In, told func(News)) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	listening, cancel := context.WithCancel(ctx)
	defer cancel()
	still := time.AfterFunc(silence, cancel)
	defer still.Stop()
	resp, err := c.ask(listening, op.path, body)
	if err != nil {
		return errors.Join(ctx.Err(), err)
	}
	defer resp.Body.Close()
	for lines := json.NewDecoder(resp.Body); ; {
		var line bulletin[News]
		if err := lines.Decode(&line); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return refuse("look at the server's log, then try again", "the server went away before it was done: %v", err).because(err)
		}
		still.Reset(silence)
		switch {
		case line.Refusal != nil:
			return line.Refusal
		case line.Done:
			return nil
		case line.News != nil:
			told(*line.News)
		}
	}
}

// long is an operation that takes long and has one answer.
type long[In, Out any] struct {
	path string
	do   func(Operations, context.Context, In) (Out, error)
}

// stream is the answer as the only news.
func (op long[In, Out]) stream() stream[In, Out] {
	return stream[In, Out]{op.path, func(o Operations, ctx context.Context, in In, told func(Out)) error {
		out, err := op.do(o, ctx, in)
		if err == nil {
			told(out)
		}
		return err
	}}
}

func (op long[In, Out]) answer(mux *http.ServeMux, o Operations) { op.stream().answer(mux, o) }

func (op long[In, Out]) call(ctx context.Context, c *Client, in In) (out Out, err error) {
	err = op.stream().call(ctx, c, in, func(n Out) { out = n })
	return out, err
}
