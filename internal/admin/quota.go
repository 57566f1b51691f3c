package admin

import (
	"context"
	"fmt"

	"letterlock/internal/requiretls"
	"letterlock/storage"
)

// Quota implements [Operations].
func (d *Desk) Quota(ctx context.Context, address string) (Quota, error) {
	p, err := d.person(ctx, address)
	if err != nil {
		return Quota{}, err
	}
	return d.quota(ctx, p)
}

// SetQuota implements [Operations].
func (d *Desk) SetQuota(ctx context.Context, in Limits) (Quota, error) {
	p, err := d.person(ctx, in.Address)
	if err != nil {
		return Quota{}, err
	}
	account := d.opt.Store.Account(p.ID)
	limits, err := account.Limits(ctx)
	if err != nil {
		return Quota{}, fmt.Errorf("limits of %s: %w", p.Address, err)
	}
	if in.MaxBytes != nil {
		limits.Bytes = *in.MaxBytes
	}
	if in.MaxMessages != nil {
		limits.Messages = *in.MaxMessages
	}
	if err := account.SetLimits(ctx, limits); err != nil {
		return Quota{}, fmt.Errorf("limit %s: %w", p.Address, err)
	}
	return d.quota(ctx, p)
}

func (d *Desk) quota(ctx context.Context, p storage.Person) (Quota, error) {
	account := d.opt.Store.Account(p.ID)
	use, err := account.Usage(ctx)
	if err != nil {
		return Quota{}, fmt.Errorf("usage of %s: %w", p.Address, err)
	}
	most, err := account.Limits(ctx)
	if err != nil {
		return Quota{}, fmt.Errorf("limits of %s: %w", p.Address, err)
	}
	return Quota{p.Address.String(), use.Bytes, most.Bytes, use.Messages, most.Messages}, nil
}

// Release implements [Operations].
func (d *Desk) Release(ctx context.Context, address string) (Release, error) {
	p, err := d.person(ctx, address)
	if err != nil {
		return Release{}, err
	}
	return releaseOf(p), nil
}

// SetRelease implements [Operations].
func (d *Desk) SetRelease(ctx context.Context, in Release) (Release, error) {
	policy, known := accountPolicies[in.Policy]
	if !known && in.Policy != ReleaseInherit {
		return Release{}, refuse("an account may be stricter than the config: tls or bound; or take what it says: inherit", "%q is no policy of an account", in.Policy)
	}
	p, err := d.person(ctx, in.Address)
	if err != nil {
		return Release{}, err
	}
	if known {
		err = d.opt.Store.SetRelease(ctx, p.Address, policy)
	} else {
		err = d.opt.Store.ClearRelease(ctx, p.Address)
	}
	if err != nil {
		return Release{}, fmt.Errorf("set the policy of %s: %w", p.Address, err)
	}
	return Release{p.Address.String(), in.Policy}, nil
}

var accountPolicies = map[string]requiretls.Policy{
	ReleaseTLS:   requiretls.PolicyTLS,
	ReleaseBound: requiretls.PolicyBound,
}

func releaseOf(p storage.Person) Release {
	r := Release{p.Address.String(), ReleaseInherit}
	for name, policy := range accountPolicies {
		if p.HasRelease && p.Release == policy {
			r.Policy = name
		}
	}
	return r
}
