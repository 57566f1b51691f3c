package lmtp

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"

	"letterlock/internal/mail"
)

// ask asks the deliverer about one recipient. A panic is a fault of ours.
func (c *session) ask(ctx context.Context, addr mail.Address) (err error) {
	ctx = c.patience.begin(ctx, askPatience)
	defer c.patience.end()
	defer func() {
		if fault := recover(); fault != nil {
			err = c.fault(fault)
		}
	}()
	return c.opt.Deliver.Recipient(ctx, addr)
}

// deliver answers one error for each of rcpts, whatever the deliverer does.
func (c *session) deliver(ctx context.Context, env *mail.Envelope, body mail.Body, rcpts []mail.Address) (errs []error) {
	ctx = c.patience.begin(ctx, deliverPatience)
	defer c.patience.end()
	defer func() {
		if fault := recover(); fault != nil {
			errs = slices.Repeat([]error{c.fault(fault)}, len(rcpts))
		}
	}()
	errs = c.opt.Deliver.Deliver(ctx, env, body, rcpts)
	if len(errs) != len(rcpts) {
		err := fmt.Errorf("deliverer: %d answers for %d recipients", len(errs), len(rcpts))
		return slices.Repeat([]error{err}, len(rcpts))
	}
	return errs
}

// fault tells our log where; the peer reads of a local error.
func (c *session) fault(fault any) error {
	err := fmt.Errorf("panic: %v", fault)
	c.log.Error("deliverer", "err", err, "stack", string(debug.Stack()))
	return err
}
