package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"time"

	"letterlock/storage"
)

// Client hands operations to the server that holds the store.
type Client struct{ http http.Client }

var _ Operations = (*Client)(nil)

// Dial makes a client for the server of a data folder. Whether one is there
// shows at the first operation.
func Dial(data string) *Client {
	var d net.Dialer
	return &Client{http.Client{
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return d.DialContext(ctx, "unix", SocketPath(data))
			},
		},
	}}
}

// Close lets go of the connection.
func (c *Client) Close() error {
	c.http.CloseIdleConnections()
	return nil
}

// call is the client's side of an operation.
func (op operation[In, Out]) call(ctx context.Context, c *Client, in In) (out Out, err error) {
	body, err := json.Marshal(in)
	if err != nil {
		return out, err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	resp, err := c.ask(ctx, op.path, body)
	if err != nil {
		return out, err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		return out, fmt.Errorf("read the server's answer: %w", err)
	}
	return out, nil
}

// ask sends a request and answers what was agreed to.
func (c *Client) ask(ctx context.Context, path string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://admin"+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, unreached(err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	r := &Refusal{}
	if json.NewDecoder(resp.Body).Decode(r) != nil || r.Text == "" {
		return nil, fmt.Errorf("ask the server: %s", resp.Status)
	}
	return nil, r
}

// unreached says what to do where the server could not be asked.
func unreached(err error) *Refusal {
	way := "it may be starting or stopping: try again"
	if errors.Is(err, fs.ErrPermission) {
		way = "run the command as the user the server runs as"
	}
	return refuse(way, "ask the server: %v", err).because(err)
}

// patience is how long Reach waits for a server that is starting or stopping;
// between two looks it pauses for pause.
const (
	patience = 12 * time.Second
	pause    = 100 * time.Millisecond
)

// Reach finds who can carry operations out on a data folder: the server that
// runs on it, or else a desk of our own, made by open. It rides out a server
// that is just starting or stopping. done ends what was begun.
func Reach(ctx context.Context, data string, open func() (*Desk, func() error, error)) (o Operations, done func() error, err error) {
	waiting, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		c := Dial(data)
		_, err := c.Server(waiting)
		if err == nil {
			return c, c.Close, nil
		}
		if answered(err) {
			return nil, nil, err
		}
		desk, done, err := open()
		if err == nil {
			return desk, done, nil
		}
		if !errors.Is(err, storage.ErrLocked) {
			return nil, nil, err
		}
		select {
		case <-time.After(pause):
		case <-waiting.Done():
			return nil, nil, refuse("it is starting, stopping or stuck: look at its log, then try again",
				"%v, and no server answers at %s", err, SocketPath(data)).because(err)
		}
	}
}

// answered says whether somebody is there: a refusal is an answer, and a
// socket that is not ours to open belongs to somebody.
func answered(err error) bool {
	var unreachable *url.Error
	return !errors.As(err, &unreachable) || errors.Is(err, fs.ErrPermission)
}
