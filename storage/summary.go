package storage

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"letterlock/internal/mail"
	"letterlock/internal/requiretls"
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
	b = appendSummary(b, s)
	if s.Has&mail.HasPreview != 0 { // last, of the outermost message alone
		b = segment.AppendString(b, s.Preview)
	}
	return b
}

// hashID is 0 for an absent id.
func hashID(id string) uint64 {
	if id == "" {
		return 0
	}
	sum := sha256.Sum256([]byte(id))
	return binary.LittleEndian.Uint64(sum[:]) | 1
}

// idSpace is where the hashes of Message-IDs are known: that of open mail, where
// they are as hashID makes them, or that of mail which requires TLS.
type idSpace uint64

const (
	openIDs idSpace = 1
	heldIDs idSpace = 0
)

// of is a hash as the space has it; 0 stays 0.
func (s idSpace) of(hash uint64) uint64 {
	if hash == 0 {
		return 0
	}
	return hash&^1 | uint64(s)
}

// idSpaces is where a message of a demand looks for others, its own space last.
func idSpaces(d requiretls.Demand) []idSpace {
	if d.IsRequired() {
		return []idSpace{openIDs, heldIDs}
	}
	return []idSpace{openIDs}
}

// threading is the front of an encoded summary: what the applier needs of it.
type threading struct {
	headerSize uint64
	messageID  uint64
	references []uint64 // oldest first
}

// skipFront passes over what readThreading reads.
func (f *scan[T]) skipFront() {
	if f.byte() != summaryVersion {
		f.fail()
	}
	f.uint()
	f.skip(8)
	f.skip(8 * f.count())
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

// extent is what somebody wants of a summary.
type extent uint8

const (
	wholeSummary  extent = iota
	envelopeOnly         // what stands before the structure, which is most of it
	structureOnly        // Root, Has and Preview
	noSummary
)

// wanted is what has to be kept of an encoded summary: all of it, or for
// structureOnly what stands from Has on; nothing of one that cannot be read.
func wanted(b []byte, want extent) []byte {
	if want != structureOnly {
		return b
	}
	f := scan[[]byte]{rest: b}
	f.skipFront()
	f.skipEnvelope()
	return f.rest
}

// decodeSummary reads what encodeSummary made, for a message that starts with
// shift more octets of header. Its strings are parts of b.
func decodeSummary(b string, want extent, shift int64) (*mail.Summary, error) {
	return new(text).summary(b, want, shift)
}

// summary is decodeSummary by somebody who decodes many, each as wanted: it is
// good until the next one.
func (f *text) summary(b string, want extent, shift int64) (*mail.Summary, error) {
	f.begin(b)
	s := &f.sum
	if want == structureOnly {
		*s = mail.Summary{Has: mail.Fields(f.uint())}
	} else {
		f.skipFront()
		readEnvelope(f, s)
	}
	if want != envelopeOnly {
		readPart(f, &s.Root, 0, shift)
		s.Root.Header = 0
		if s.Has&mail.HasPreview != 0 {
			s.Preview = f.string()
		}
	}
	if f.bad {
		return nil, fmt.Errorf("summary: %w", segment.ErrFields)
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

// addressLists is how many lists of addresses an envelope has, and
// addressFields how many strings stand before the mark of each address.
const (
	addressLists  = 6
	addressFields = 4
)

// readEnvelope reads what stands before the structure.
func readEnvelope(f *text, s *mail.Summary) {
	*s = mail.Summary{Date: f.string(), Sent: f.time(), Subject: f.string()}
	for _, list := range [addressLists]*[]mail.Addr{&s.From, &s.Sender, &s.ReplyTo, &s.To, &s.Cc, &s.Bcc} {
		n := f.count()
		*list = f.addrs.take(n)
		for range n {
			*list = append(*list, mail.Addr{Name: f.string(), Route: f.string(), Mailbox: f.string(), Host: f.string(), Group: mail.GroupMark(f.byte())})
		}
	}
	s.InReplyTo, s.MessageID = f.string(), f.string()
	s.References = readStrings(f)
	s.Has = mail.Fields(f.uint())
}

// skipEnvelope passes over what readEnvelope reads, but for what it has.
func (f *scan[T]) skipEnvelope() {
	f.skipStrings(1)
	f.skipTime()
	f.skipStrings(1)
	for range addressLists {
		for range f.count() {
			f.skipStrings(addressFields)
			f.skip(1)
		}
	}
	f.skipStrings(2)
	f.skipStrings(f.count())
}

func readStrings(f *text) []string {
	n := f.count()
	list := f.strings.take(n)
	for range n {
		list = append(list, f.string())
	}
	return list
}

// readPart reads into p, which is zero.
func readPart(f *text, p *mail.Part, depth int, shift int64) {
	if depth > maxNesting {
		f.fail()
		return
	}
	p.Type, p.Subtype, p.ID, p.Description = f.string(), f.string(), f.string(), f.string()
	p.Encoding, p.MD5, p.Disposition, p.Location = f.string(), f.string(), f.string(), f.string()
	p.Params, p.DispParams = readParams(f), readParams(f)
	p.Language = readStrings(f)
	p.Header, p.Body, p.End, p.Lines = f.int()+shift, f.int()+shift, f.int()+shift, f.int()
	n := f.count()
	p.Parts = f.parts.take(n)
	for i := range n {
		p.Parts = append(p.Parts, mail.Part{})
		readPart(f, &p.Parts[i], depth+1, shift)
	}
	if f.byte() != 0 {
		p.Message = new(mail.Summary)
		readEnvelope(f, p.Message)
		readPart(f, &p.Message.Root, depth+1, shift)
	}
}

func readParams(f *text) []mail.Param {
	n := f.count()
	list := f.params.take(n)
	for range n {
		list = append(list, mail.Param{Name: f.string(), Value: f.string()})
	}
	return list
}
