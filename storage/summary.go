package storage

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"letterlock/internal/mail"
	"letterlock/storage/segment"
)

// maxCached is how many octets of encoded summary the index keeps beside the
// row. A larger one (thousands of parts) is read from the segment's record,
// where every summary stands whole: nothing is cut.
const maxCached = 60 << 10

// maxReferences is how many ids of References a thread is sought by.
const maxReferences = 32

// summaryVersion is the first octet of an encoded summary.
const summaryVersion = 1

// encodeSummary makes the stored form: version, the size of the header, the
// hashes a thread is found by, then all fields in the order of [mail.Summary].
func encodeSummary(s *mail.Summary) []byte {
	b := make([]byte, 0, 768)
	b = append(b, summaryVersion)
	b = segment.AppendUint(b, uint64(s.Root.Body))
	b = binary.LittleEndian.AppendUint64(b, hashID(s.MessageID))
	refs := s.References[max(0, len(s.References)-maxReferences):]
	if len(refs) == 0 && s.InReplyTo != "" {
		refs = []string{s.InReplyTo}
	}
	b = segment.AppendUint(b, uint64(len(refs)))
	for _, id := range refs {
		b = binary.LittleEndian.AppendUint64(b, hashID(id))
	}
	return appendSummary(b, s)
}

// hashID is 0 for an absent id.
func hashID(id string) uint64 {
	if id == "" {
		return 0
	}
	sum := sha256.Sum256([]byte(id))
	return binary.LittleEndian.Uint64(sum[:]) | 1
}

// threading is the front of an encoded summary: what the applier needs of it.
type threading struct {
	headerSize uint64
	messageID  uint64
	references []uint64 // oldest first
}

func readThreading(f *segment.Fields) (t threading) {
	if f.Byte() != summaryVersion {
		return threading{}
	}
	t.headerSize, t.messageID = f.Uint(), readHash(f)
	for range f.Count() {
		t.references = append(t.references, readHash(f))
	}
	return t
}

func readHash(f *segment.Fields) (h uint64) {
	for i := range 8 {
		h |= uint64(f.Byte()) << (8 * i)
	}
	return h
}

func decodeSummary(b []byte) (*mail.Summary, error) {
	if len(b) == 0 || b[0] != summaryVersion {
		return nil, fmt.Errorf("summary: %w", segment.ErrFields)
	}
	f := segment.ReadFields(b)
	readThreading(f)
	s := readSummary(f, 0)
	if err := f.Err(); err != nil {
		return nil, fmt.Errorf("summary: %w", err)
	}
	return s, nil
}

func appendSummary(b []byte, s *mail.Summary) []byte {
	b = segment.AppendString(b, s.Date)
	b = segment.AppendTime(b, s.Sent)
	b = segment.AppendString(b, s.Subject)
	for _, list := range [][]mail.Addr{s.From, s.Sender, s.ReplyTo, s.To, s.Cc, s.Bcc} {
		b = segment.AppendUint(b, uint64(len(list)))
		for _, a := range list {
			b = segment.AppendString(b, a.Name)
			b = segment.AppendString(b, a.Route)
			b = segment.AppendString(b, a.Mailbox)
			b = segment.AppendString(b, a.Host)
			b = append(b, byte(a.Group))
		}
	}
	b = segment.AppendString(b, s.InReplyTo)
	b = segment.AppendString(b, s.MessageID)
	b = appendStrings(b, s.References)
	b = segment.AppendUint(b, uint64(s.Has))
	return appendPart(b, &s.Root)
}

func appendStrings(b []byte, list []string) []byte {
	b = segment.AppendUint(b, uint64(len(list)))
	for _, s := range list {
		b = segment.AppendString(b, s)
	}
	return b
}

func appendPart(b []byte, p *mail.Part) []byte {
	for _, s := range []string{p.Type, p.Subtype, p.ID, p.Description, p.Encoding, p.MD5, p.Disposition, p.Location} {
		b = segment.AppendString(b, s)
	}
	b = appendParams(b, p.Params)
	b = appendParams(b, p.DispParams)
	b = appendStrings(b, p.Language)
	for _, n := range []int64{p.Header, p.Body, p.End, p.Lines} {
		b = segment.AppendInt(b, n)
	}
	b = segment.AppendUint(b, uint64(len(p.Parts)))
	for i := range p.Parts {
		b = appendPart(b, &p.Parts[i])
	}
	if p.Message == nil {
		return append(b, 0)
	}
	return appendSummary(append(b, 1), p.Message)
}

func appendParams(b []byte, list []mail.Param) []byte {
	b = segment.AppendUint(b, uint64(len(list)))
	for _, p := range list {
		b = segment.AppendString(b, p.Name)
		b = segment.AppendString(b, p.Value)
	}
	return b
}

// maxNesting ends a summary that damage made endless; whoever makes summaries
// nests less.
const maxNesting = 1000

func readSummary(f *segment.Fields, depth int) *mail.Summary {
	s := &mail.Summary{Date: f.String(), Sent: f.Time(), Subject: f.String()}
	for _, list := range []*[]mail.Addr{&s.From, &s.Sender, &s.ReplyTo, &s.To, &s.Cc, &s.Bcc} {
		for range f.Count() {
			*list = append(*list, mail.Addr{Name: f.String(), Route: f.String(), Mailbox: f.String(), Host: f.String(), Group: mail.GroupMark(f.Byte())})
		}
	}
	s.InReplyTo, s.MessageID = f.String(), f.String()
	s.References = readStrings(f)
	s.Has = mail.Fields(f.Uint())
	s.Root = readPart(f, depth)
	return s
}

func readStrings(f *segment.Fields) (list []string) {
	for range f.Count() {
		list = append(list, f.String())
	}
	return list
}

func readPart(f *segment.Fields, depth int) mail.Part {
	var p mail.Part
	if depth > maxNesting {
		f.Fail()
		return p
	}
	for _, s := range []*string{&p.Type, &p.Subtype, &p.ID, &p.Description, &p.Encoding, &p.MD5, &p.Disposition, &p.Location} {
		*s = f.String()
	}
	p.Params, p.DispParams = readParams(f), readParams(f)
	p.Language = readStrings(f)
	for _, n := range []*int64{&p.Header, &p.Body, &p.End, &p.Lines} {
		*n = f.Int()
	}
	for range f.Count() {
		p.Parts = append(p.Parts, readPart(f, depth+1))
	}
	if f.Byte() != 0 {
		p.Message = readSummary(f, depth+1)
	}
	return p
}

func readParams(f *segment.Fields) (list []mail.Param) {
	for range f.Count() {
		list = append(list, mail.Param{Name: f.String(), Value: f.String()})
	}
	return list
}
