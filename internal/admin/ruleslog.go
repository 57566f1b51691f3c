package admin

import (
	"context"
	"fmt"
	"strings"
)

// RulesLog is what an account's rules could not do.
type RulesLog struct {
	Address string   `json:"address"`
	Lines   []string `json:"lines"` // the latest last; older ones are dropped
}

// RulesLog implements [Operations].
func (d *Desk) RulesLog(ctx context.Context, address string) (RulesLog, error) {
	p, err := d.person(ctx, address)
	if err != nil {
		return RulesLog{}, err
	}
	log := RulesLog{Address: p.Address.String(), Lines: []string{}}
	if d.opt.RuleLog == nil {
		return log, nil
	}
	text, err := d.opt.RuleLog.Read(ctx, uint64(p.ID))
	if err != nil {
		return RulesLog{}, fmt.Errorf("log of the rules of %s: %w", p.Address, err)
	}
	for line := range strings.Lines(text) {
		log.Lines = append(log.Lines, strings.TrimRight(line, "\n"))
	}
	return log, nil
}
