package deliver

import (
	"context"
	"strings"
	"sync"
	"time"
)

// RuleLog is what the rules of each account could not do, for its owner: a line
// for each, the latest last, the oldest dropped. It is safe for concurrent use.
type RuleLog struct {
	keeper Keeper
	mu     [64]sync.Mutex // by account: a line is not lost to another
}

// Keeper keeps one text for each account.
type Keeper interface {
	Text(ctx context.Context, account uint64) (string, error)
	SetText(ctx context.Context, account uint64, text string) error
}

// maxRuleLog is how many octets of the log are kept for an account.
const maxRuleLog = 16 << 10

// NewRuleLog makes the log over whoever keeps it.
func NewRuleLog(k Keeper) *RuleLog { return &RuleLog{keeper: k} }

// Read is the log of an account; empty where nothing went wrong.
func (r *RuleLog) Read(ctx context.Context, account uint64) (string, error) {
	return r.keeper.Text(ctx, account)
}

// Forget drops it.
func (r *RuleLog) Forget(ctx context.Context, account uint64) error {
	mu := &r.mu[account%uint64(len(r.mu))]
	mu.Lock()
	defer mu.Unlock()
	return r.keeper.SetText(ctx, account, "")
}

// add writes lines.
func (r *RuleLog) add(ctx context.Context, account uint64, at time.Time, lines []string) error {
	mu := &r.mu[account%uint64(len(r.mu))]
	mu.Lock()
	defer mu.Unlock()
	text, err := r.keeper.Text(ctx, account)
	if err != nil {
		return err
	}
	for _, line := range lines {
		text += at.UTC().Format(time.DateTime) + " " + plainLine(line) + "\n"
	}
	if over := len(text) - maxRuleLog; over > 0 {
		text = text[over+strings.IndexByte(text[over:], '\n')+1:]
	}
	return r.keeper.SetText(ctx, account, text)
}

// logLine is a note in the log of its owner. What it says more may quote the
// message: of a required one it stays in the notice, which is released as the
// message is (RFC 8689 §4.4).
func (l *letter) logLine(n note) string {
	line := n.what
	if n.rule != "" {
		line = n.rule + ": " + line
	}
	if n.text != "" && !l.env.Demand.IsRequired() {
		line += ": " + strings.ReplaceAll(n.text, "\n", " ")
	}
	return line
}
