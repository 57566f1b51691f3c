package admin

import (
	"context"
	"slices"
	"time"

	"letterlock/storage"
)

// KeyStatus is what of the store is sealed, and under which key. A store that is
// not encrypted has no keys, and all of it lies in clear.
type KeyStatus struct {
	Sealing bool     `json:"sealing"` // what is written from now on is sealed
	Clear   KeyUse   `json:"clear"`   // what lies in clear
	Keys    []KeyUse `json:"keys"`
}

// KeyUse is what one key has of a store. What was removed counts until its place
// is collected.
type KeyUse struct {
	ID      string    `json:"id,omitempty"`
	Made    time.Time `json:"made,omitzero"`
	Current bool      `json:"current,omitempty"` // new mail is sealed with it
	Missing bool      `json:"missing,omitempty"` // it is not in the key file, and needed
	Log     int64     `json:"log"`               // octets of mail
	Index   int64     `json:"index"`             // octets of the index
}

// Octets is what depends on the key.
func (k KeyUse) Octets() int64 { return k.Log + k.Index }

// Keys implements [Operations].
func (d *Desk) Keys(ctx context.Context) (KeyStatus, error) {
	all, err := d.opt.Store.Keys(ctx)
	if err != nil {
		return KeyStatus{}, err
	}
	s := KeyStatus{Clear: KeyUse(all.Clear), Keys: []KeyUse{}}
	for _, k := range all.Keys {
		s.Keys = append(s.Keys, KeyUse(k))
	}
	s.Sealing = slices.ContainsFunc(all.Keys, func(k storage.KeyUse) bool { return k.Current })
	return s, nil
}

// SealOrder says how fast everything is to be sealed.
type SealOrder struct {
	Rate int64 `json:"rate,omitempty"` // octets a second; 0: as fast as it goes
}

// Seal implements [Operations].
func (d *Desk) Seal(ctx context.Context, in SealOrder, told func(Steps)) error {
	if in.Rate < 0 {
		return refuse("leave it out for as fast as it goes", "a rate of %d octets a second", in.Rate)
	}
	err := d.opt.Store.SealAll(ctx, in.Rate, func(done, total int) { told(Steps{done, total}) })
	if err == nil || ctx.Err() != nil {
		return err
	}
	if s, trouble := d.Keys(ctx); trouble == nil && !s.Sealing {
		return refuse("name a key file first: key_file in section [storage], then letterlock key new, and start anew", "%v", err).because(err)
	}
	return err
}
