package segment

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"letterlock/internal/mail"
	"letterlock/internal/requiretls"
	"letterlock/storage/seal"
)

// Record is one message as the log holds it. RFC 8689 §4.1: its demand is
// written into the segment with the body.
type Record struct {
	Kind       Kind
	Serial     uint64 // counts recipients over the life of the log: that of the first one; given by Append
	Envelope   mail.Envelope
	Recipients []Recipient
	Summary    []byte // encoded by the caller

	At      Pos   // where the record starts
	Size    int64 // octets in the segment, padding included
	RawSize int64 // octets of the body
	Table   Table // the body's blocks
	Codec   Codec
	Big     uint64  // the number of the file that holds the body; 0: it lies in the segment
	Key     seal.ID // the key it is sealed under; zero: it lies in clear
	Tag     any     // the caller's own: kept in memory, not written
	more    uint32
}

// Kind says how a record came to be.
type Kind uint8

const (
	Delivered Kind = 1 + iota // LMTP, or whoever else delivers
	Appended                  // IMAP APPEND: all records of its group or none
	Moved                     // an older record's living recipients, at a new place
	Several                   // as Delivered, of a letter that is kept in several forms: its group has a record of each, all or none
)

// Codec says how blocks are stored.
type Codec uint8

const (
	Raw  Codec = 0
	Zstd Codec = 1 // a block that is shorter than it was is a frame of zstd (RFC 8878), the others are raw
)

// Recipient is one stored copy: a row of the index.
type Recipient struct {
	Account uint64
	Number  uint64 // the message's number in its account; 0: Serial plus the place in Recipients
	EmailID uint64
	Rcpt    mail.Address // as the sender's side named it; for repair
	Date    time.Time    // internal date
	Prefix  []byte       // the recipient's own first header fields
	Copies  []Copy
	More    []byte // what else comes of it, encoded by the caller

	PrefixAt uint32 // where Prefix lies, from the start of the record
}

// Copy files the message into one mailbox.
type Copy struct {
	Mailbox  uint32 // 0: by name alone
	Name     string
	Create   bool
	Flags    uint8 // system flags
	Keywords []string
}

// Pos is a place in the log.
type Pos struct {
	Segment uint64 // counted from 1; never used again
	Offset  uint64
}

// Before says whether p lies before q.
func (p Pos) Before(q Pos) bool {
	return p.Segment < q.Segment || p.Segment == q.Segment && p.Offset < q.Offset
}

// Number is the message's number of recipient i.
func (r *Record) Number(i int) uint64 {
	if n := r.Recipients[i].Number; n != 0 {
		return n
	}
	return r.Serial + uint64(i)
}

var crcTable = crc32.MakeTable(crc32.Castagnoli)

// Checksum is the CRC-32C that guards everything in the log.
func Checksum(b []byte) uint32 { return crc32.Checksum(b, crcTable) }

// The fixed header of a record, little-endian:
//
//	 0 magic "LLr1"          4 version           5 kind      6 codec    7 demand
//	 8 segment               16 serial           24 epoch
//	32 recipients (u32)      36 more: records that follow in its group (u32)
//	40 durable: the offset up to which the segment was flushed before
//	48 length of the meta (u32)   52 length of the table (u32)
//	56 octets of the body behind the table
//	64 crc of the meta       68 crc of the table    72 flags    76 crc of all before
//
// Behind it lie the keys of a sealed record (sealed.go), the meta, the table,
// the body's blocks, and zeros up to a multiple of eight. Version 1 knew neither
// keys nor dictionaries (compress.go); it is read like version 2. The segment's number and the epoch, made anew at each
// open, keep octets of a file that is used again, or of a write that was torn
// off, from ever being read as a record.
const (
	headerSize = 80
	magic      = "LLr1"
	version    = 2
	align      = 8

	flagOpens  = 1 << 0 // the first record after an open: a new epoch
	flagBig    = 1 << 1
	flagSealed = 1 << 2
)

// maxMeta bounds what one record says beside its body.
const maxMeta = 24 << 20

type header struct {
	kind       Kind
	codec      Codec
	demand     byte
	segment    uint64
	serial     uint64
	epoch      uint64
	recipients uint32
	more       uint32
	durable    uint64
	meta       uint32
	table      uint32
	body       uint64
	metaCRC    uint32
	tableCRC   uint32
	flags      uint32
}

func (h *header) put(b []byte) {
	le := binary.LittleEndian
	copy(b, magic)
	b[4], b[5], b[6], b[7] = version, byte(h.kind), byte(h.codec), h.demand
	le.PutUint64(b[8:], h.segment)
	le.PutUint64(b[16:], h.serial)
	le.PutUint64(b[24:], h.epoch)
	le.PutUint32(b[32:], h.recipients)
	le.PutUint32(b[36:], h.more)
	le.PutUint64(b[40:], h.durable)
	le.PutUint32(b[48:], h.meta)
	le.PutUint32(b[52:], h.table)
	le.PutUint64(b[56:], h.body)
	le.PutUint32(b[64:], h.metaCRC)
	le.PutUint32(b[68:], h.tableCRC)
	le.PutUint32(b[72:], h.flags)
	le.PutUint32(b[76:], Checksum(b[:76]))
}

// ErrDamaged says that stored octets do not match their checksum.
var ErrDamaged = errors.New("stored octets are damaged")

func readHeader(b []byte) (h header, err error) {
	le := binary.LittleEndian
	if string(b[:4]) != magic || le.Uint32(b[76:]) != Checksum(b[:76]) {
		return h, fmt.Errorf("record header: %w", ErrDamaged)
	}
	if b[4] == 0 || b[4] > version {
		return h, fmt.Errorf("record of version %d: %w", b[4], ErrDamaged)
	}
	h = header{
		kind: Kind(b[5]), codec: Codec(b[6]), demand: b[7],
		segment: le.Uint64(b[8:]), serial: le.Uint64(b[16:]), epoch: le.Uint64(b[24:]),
		recipients: le.Uint32(b[32:]), more: le.Uint32(b[36:]), durable: le.Uint64(b[40:]),
		meta: le.Uint32(b[48:]), table: le.Uint32(b[52:]), body: le.Uint64(b[56:]),
		metaCRC: le.Uint32(b[64:]), tableCRC: le.Uint32(b[68:]), flags: le.Uint32(b[72:]),
	}
	if h.meta > maxMeta || h.table > maxMeta || h.flags&flagBig == 0 && h.body > maxSegment {
		return h, fmt.Errorf("record lengths: %w", ErrDamaged)
	}
	return h, nil
}

// size is the record's whole length in the segment.
func (h *header) size() int64 {
	n := h.frontSize() + int64(h.meta) + int64(h.table)
	if h.flags&flagBig == 0 {
		n += int64(h.body)
	}
	return (n + align - 1) &^ (align - 1)
}

// appendMeta writes everything but the body. at is where the meta starts in
// the record; the place of each prefix is set in r.
func (r *Record) appendMeta(b []byte, at int) []byte {
	start := len(b)
	b = r.appendFields(b)
	// The prefixes come last, beside the body: a small message is one stretch.
	for i := range r.Recipients {
		rc := &r.Recipients[i]
		b = AppendUint(b, uint64(len(rc.Prefix)))
		rc.PrefixAt = uint32(at + len(b) - start)
		b = append(b, rc.Prefix...)
	}
	return r.appendMore(b)
}

// appendFields writes the envelope, the recipients and the summary.
func (r *Record) appendFields(b []byte) []byte {
	e := &r.Envelope
	b = AppendString(b, e.ID)
	b = AppendString(b, e.From.Local)
	b = AppendString(b, e.From.Domain)
	b = AppendTime(b, e.Received)
	b = AppendString(b, e.Protocol)
	b = append(b, flagByte(e.SMTPUTF8))
	b = AppendUint(b, uint64(e.TLSVersion))
	b = AppendUint(b, uint64(e.TLSCipher))
	b = AppendString(b, e.Helo)
	b = AppendString(b, e.Peer)
	b = AppendUint(b, uint64(len(r.Recipients)))
	for i := range r.Recipients {
		b = r.Recipients[i].append(b)
	}
	return AppendString(b, r.Summary)
}

// appendMore writes what not every record has: a record that ends before it has
// none.
func (r *Record) appendMore(b []byte) []byte {
	any := false
	for i := range r.Recipients {
		any = any || len(r.Recipients[i].More) > 0
	}
	if !any {
		return b
	}
	for i := range r.Recipients {
		b = AppendString(b, r.Recipients[i].More)
	}
	return b
}

func (rc *Recipient) append(b []byte) []byte {
	b = AppendUint(b, rc.Account)
	b = AppendUint(b, rc.Number)
	b = binary.LittleEndian.AppendUint64(b, rc.EmailID)
	b = AppendString(b, rc.Rcpt.Local)
	b = AppendString(b, rc.Rcpt.Domain)
	b = AppendTime(b, rc.Date)
	b = AppendUint(b, uint64(len(rc.Copies)))
	for _, c := range rc.Copies {
		b = AppendUint(b, uint64(c.Mailbox))
		b = AppendString(b, c.Name)
		b = append(b, flagByte(c.Create), c.Flags)
		b = AppendUint(b, uint64(len(c.Keywords)))
		for _, k := range c.Keywords {
			b = AppendString(b, k)
		}
	}
	return b
}

func flagByte(set bool) byte {
	if set {
		return 1
	}
	return 0
}

// readMeta is the reverse of appendMeta.
func (r *Record) readMeta(b []byte) error {
	f := ReadFields(b)
	r.readFields(f)
	for i := range r.Recipients {
		rc := &r.Recipients[i]
		rc.Prefix = f.Bytes()
		rc.PrefixAt = uint32(headerSize + len(b) - f.Left() - len(rc.Prefix))
	}
	r.readMore(f)
	return f.Err()
}

// readFields is the reverse of appendFields.
func (r *Record) readFields(f *Fields) {
	e := &r.Envelope
	e.ID = f.String()
	e.From.Local, e.From.Domain = f.String(), f.String()
	e.Received, e.Protocol = f.Time(), f.String()
	e.SMTPUTF8 = f.Byte() != 0
	e.TLSVersion, e.TLSCipher = uint16(f.Uint()), uint16(f.Uint())
	e.Helo, e.Peer = f.String(), f.String()
	r.Recipients = make([]Recipient, f.Count())
	for i := range r.Recipients {
		r.Recipients[i].read(f)
	}
	r.Summary = f.Bytes()
}

// readMore is the reverse of appendMore.
func (r *Record) readMore(f *Fields) {
	if f.Left() == 0 || f.Err() != nil {
		return
	}
	for i := range r.Recipients {
		r.Recipients[i].More = f.Bytes()
	}
}

func (rc *Recipient) read(f *Fields) {
	rc.Account, rc.Number = f.Uint(), f.Uint()
	for i := range 8 {
		rc.EmailID |= uint64(f.Byte()) << (8 * i)
	}
	rc.Rcpt = mail.Address{Local: f.String(), Domain: f.String()}
	rc.Date = f.Time()
	rc.Copies = make([]Copy, f.Count())
	for i := range rc.Copies {
		c := &rc.Copies[i]
		c.Mailbox, c.Name = uint32(f.Uint()), f.String()
		c.Create, c.Flags = f.Byte() != 0, f.Byte()
		for range f.Count() {
			c.Keywords = append(c.Keywords, f.String())
		}
	}
}

// decode makes a record of its checked parts; k is its lock, opened.
func (h *header) decode(at Pos, key seal.ID, k lock, meta, table []byte) (*Record, error) {
	if Checksum(meta) != h.metaCRC || Checksum(table) != h.tableCRC {
		return nil, fmt.Errorf("record meta: %w", ErrDamaged)
	}
	r := &Record{Kind: h.kind, Codec: h.codec, Serial: h.serial, At: at, Size: h.size(), Key: key, more: h.more}
	if h.flags&flagBig != 0 {
		r.Big = h.body
	}
	var err error
	if k.box != nil {
		err = r.readSealedMeta(meta, h.frontSize(), k.box)
	} else {
		err = r.readMeta(meta)
	}
	if err != nil {
		return nil, fmt.Errorf("record meta: %w", err)
	}
	if r.Table, err = readTable(table, nil); err != nil {
		return nil, err
	}
	r.RawSize = r.Table.Raw
	r.Envelope.Demand = demandOf(h.demand)
	return r, nil
}

// demandOf reads a stored demand; one that cannot be read is required.
func demandOf(b byte) requiretls.Demand {
	d, err := requiretls.DemandFromByte(b)
	if err != nil {
		return requiretls.Required()
	}
	return d
}
