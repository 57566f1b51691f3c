package storage

import (
	"fmt"
	"slices"
	"time"

	"letterlock/internal/mail"
	"letterlock/internal/requiretls"
	"letterlock/storage/kv"
	"letterlock/storage/segment"
)

// OutID names a row of the outbox for ever: its shard and a number.
type OutID uint64

// shardBits is enough for all shards there can be.
const shardBits = 6

func (id OutID) shard() int { return int(id & (1<<shardBits - 1)) }

// outState says whether a row waits for its time.
type outState uint8

const (
	outQueued outState = iota
	outParked          // its demand or its octets cannot be read
	outHeld            // an admin holds it, or it was found after a loss
)

// outRow is one letter on its way to one recipient elsewhere.
type outRow struct {
	demand  byte // [requiretls.Demand.Byte]
	state   outState
	account AccountID // whose message it came of
	number  uint64    // of that message in its account; 0: all octets are the row's own
	due     time.Time
	history History
	slip    mail.Slip // without its texts, until they are read
	lengths [3]uint64 // of the texts, which lie in parts of their own
}

// textPart is how many octets of a row's texts share one value.
const textPart = 60 << 10

func appendSlip(b []byte, s *mail.Slip) []byte {
	b = append(b, byte(s.Kind), byte(s.Source), flagByte(s.SMTPUTF8), byte(s.DSN.Notify), byte(s.DSN.Return))
	b = segment.AppendString(b, s.Origin)
	b = appendAddress(appendAddress(b, s.From), s.To)
	b = segment.AppendInt(b, s.Skip)
	for _, text := range []string{s.DSN.EnvID, s.DSN.ORcptType, s.DSN.ORcpt} {
		b = segment.AppendString(b, text)
	}
	return segment.AppendTime(b, s.Created)
}

func readSlip(f *segment.Fields) (s mail.Slip) {
	s.Kind, s.Source, s.SMTPUTF8 = mail.Kind(f.Byte()), mail.Source(f.Byte()), f.Byte() != 0
	s.DSN.Notify, s.DSN.Return = mail.Notify(f.Byte()), mail.Return(f.Byte())
	s.Origin, s.From, s.To, s.Skip = f.String(), readAddress(f), readAddress(f), f.Int()
	s.DSN.EnvID, s.DSN.ORcptType, s.DSN.ORcpt = f.String(), f.String(), f.String()
	s.Created = f.Time()
	return s
}

// encode makes the value, without the texts.
func (w *outRow) encode() []byte {
	b := append(newValue(), w.demand, byte(w.state))
	b = segment.AppendUint(segment.AppendUint(b, uint64(w.account)), w.number)
	b = segment.AppendTime(b, w.due)
	h := &w.history
	b = segment.AppendTime(segment.AppendUint(b, uint64(h.Tries)), h.Last)
	b = segment.AppendString(segment.AppendString(b, h.Error), h.Host)
	b = appendSlip(append(b, flagByte(h.Delayed)), &w.slip)
	for _, n := range w.lengths {
		b = segment.AppendUint(b, n)
	}
	return sealValue(b)
}

// texts are what we wrote for the letter, in the order of their parts.
func (w *outRow) texts() [3]*[]byte {
	return [3]*[]byte{&w.slip.Prefix, &w.slip.Suffix, &w.slip.Redacted}
}

func decodeOut(v []byte) (w outRow, err error) {
	f := segment.ReadFields(v)
	w.demand, w.state = f.Byte(), outState(f.Byte())
	w.account, w.number, w.due = AccountID(f.Uint()), f.Uint(), f.Time()
	h := &w.history
	h.Tries, h.Last = int(f.Uint()), f.Time()
	h.Error, h.Host, h.Delayed = f.String(), f.String(), f.Byte() != 0
	w.slip = readSlip(f)
	for i := range w.lengths {
		w.lengths[i] = f.Uint()
	}
	return w, f.Err()
}

// getOut reads a row without its texts; nil is an absent one.
func getOut(r kv.Reader, id OutID) (*outRow, error) {
	v, err := get(r, outKey(id))
	if v == nil || err != nil {
		return nil, err
	}
	w, err := decodeOut(v)
	if err != nil {
		return nil, fmt.Errorf("outbox, row %d: %w", id, err)
	}
	return &w, nil
}

// readTexts reads the octets that are the row's own.
func (w *outRow) readTexts(r kv.Reader, id OutID) error {
	var all []byte
	lo := outTextKey(id)
	for k, v := range r.Range(lo, kv.After(lo), kv.Options{}) {
		v, err := open(v)
		if err != nil {
			return fmt.Errorf("key %x: %w", k, err)
		}
		all = append(all, v...)
	}
	for i, text := range w.texts() {
		n := w.lengths[i]
		if n > uint64(len(all)) {
			return fmt.Errorf("outbox, row %d: its text is cut short: %w", id, segment.ErrDamaged)
		}
		*text, all = all[:n:n], all[n:]
	}
	return nil
}

// putOut makes a row and gives it its id.
func (t *txn) putOut(w *outRow) (OutID, error) {
	if t.nextOut == 0 {
		f, err := fields(t.tx, key(systemAccount, keyNextOut))
		switch {
		case isDamaged(err):
			t.nextOut = freshOut(t.tx, t.now)
		case err != nil:
			return 0, err
		case f == nil:
			t.nextOut = 1
		default:
			t.nextOut = f.Uint()
		}
	}
	id := OutID(t.nextOut<<shardBits | uint64(t.shard))
	t.nextOut++
	t.tx.Put(key(systemAccount, keyNextOut), sealValue(segment.AppendUint(newValue(), t.nextOut)))
	for i, text := range w.texts() {
		w.lengths[i] = uint64(len(*text))
	}
	part := 0
	for some := range slices.Chunk(slices.Concat(w.slip.Prefix, w.slip.Suffix, w.slip.Redacted), textPart) {
		t.tx.Put(outPartKey(id, part), sealValue(append(newValue(), some...)))
		part++
	}
	if w.number != 0 {
		t.tx.Put(sendingKey(w.account, w.number, id), sealValue(newValue()))
	}
	w.write(t.tx, id)
	t.sends = true
	return id, nil
}

// write writes the row, and its time where it waits for one.
func (w *outRow) write(tx kv.Tx, id OutID) {
	tx.Put(outKey(id), w.encode())
	if w.state == outQueued {
		tx.Put(dueKey(w.due, id), sealValue(append(newValue(), w.slip.To.Domain...)))
	}
}

// hold takes a row off the list of what is due.
func (w *outRow) hold(tx kv.Tx, id OutID, why string) {
	tx.Delete(dueKey(w.due, id))
	w.state, w.history.Error = outHeld, "held: "+why
	w.write(tx, id)
}

// end deletes a row. The reaper looks whether anybody else wants its message.
func (w *outRow) end(tx kv.Tx, id OutID) {
	tx.Delete(outKey(id))
	lo := outTextKey(id)
	tx.DeleteRange(lo, kv.After(lo))
	if w.number != 0 {
		tx.Delete(sendingKey(w.account, w.number, id))
		dead := deadList{numbers: []uint64{w.number}}
		dead.put(tx, w.account, 0, ModSeq(id), 0)
	}
}

// outbound joins the row's demand with those of its message (RFC 8689 §4.1):
// where they disagree, what leaves is required.
func (w *outRow) outbound(stored *segment.Stored, message *row) (*mail.Outbound, error) {
	o, err := w.slip.Outbound(w.demand)
	if err == nil && stored != nil && o.Demand() != requiretls.Agree(message.storedDemand(), stored.Demand()) {
		o.Raise()
	}
	return o, err
}
