package storage

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"letterlock/internal/requiretls"
	"letterlock/storage/kv"
	"letterlock/storage/segment"
)

// row is what never changes of a message, but for the place of its octets,
// which moves when a segment is collected.
type row struct {
	demand     byte // [requiretls.Demand.Byte]
	tlsVersion uint16
	tlsCipher  uint16
	headerSize uint32 // octets of the body's header, the prefix not included
	at         segment.Pos
	prefixAt   uint32
	prefixLen  uint32
	prefixCRC  uint32
	share      uint32 // octets of the segment that only this row keeps alive
	emailID    ObjectID
	threadID   ObjectID
	date       int64 // internal date, Unix microseconds
	zone       int32 // of the internal date, seconds east
	bodySize   uint64
	messageID  uint64 // hash of its Message-ID; 0: none
	peer       string
}

// The row, little-endian: 0 crc, version (as all values), 5 demand, 6 TLS
// version, 8 cipher, 10 header size, 14 zone, 18 prefix at, 22 prefix length,
// 26 prefix crc, 30 share, 34 segment, 42 offset, 50 email id, 58 thread id,
// 66 internal date, 74 body size, 82 hash of the Message-ID, 90 the peer.
const rowSize = 90

func (w *row) encode() []byte { return w.encodeIn(nil) }

// encodeIn makes the value, in b where that has room.
func (w *row) encodeIn(b []byte) []byte {
	le := binary.LittleEndian
	b = slices.Grow(b[:0], rowSize+len(w.peer))[:rowSize]
	b[5] = w.demand
	le.PutUint16(b[6:], w.tlsVersion)
	le.PutUint16(b[8:], w.tlsCipher)
	for i, n := range []uint32{w.headerSize, uint32(w.zone), w.prefixAt, w.prefixLen, w.prefixCRC, w.share} {
		le.PutUint32(b[10+4*i:], n)
	}
	for i, n := range []uint64{w.at.Segment, w.at.Offset, uint64(w.emailID), uint64(w.threadID), uint64(w.date), w.bodySize, w.messageID} {
		le.PutUint64(b[34+8*i:], n)
	}
	return sealValue(append(b, w.peer...))
}

func decodeRow(b []byte) (w row, err error) {
	if len(b) < rowSize {
		return w, fmt.Errorf("row: %w", segment.ErrDamaged)
	}
	if _, err := open(b); err != nil {
		return w, fmt.Errorf("row: %w", err)
	}
	le := binary.LittleEndian
	return row{
		demand: b[5], tlsVersion: le.Uint16(b[6:]), tlsCipher: le.Uint16(b[8:]),
		headerSize: le.Uint32(b[10:]), zone: int32(le.Uint32(b[14:])),
		prefixAt: le.Uint32(b[18:]), prefixLen: le.Uint32(b[22:]), prefixCRC: le.Uint32(b[26:]), share: le.Uint32(b[30:]),
		at:      segment.Pos{Segment: le.Uint64(b[34:]), Offset: le.Uint64(b[42:])},
		emailID: ObjectID(le.Uint64(b[50:])), threadID: ObjectID(le.Uint64(b[58:])),
		date: int64(le.Uint64(b[66:])), bodySize: le.Uint64(b[74:]), messageID: le.Uint64(b[82:]),
		peer: string(b[rowSize:]),
	}, nil
}

// getRow reads the row of one message; nil is an absent one.
func getRow(r kv.Reader, a AccountID, number uint64) (*row, error) {
	v := r.Get(rowKey(a, number))
	if v == nil {
		return nil, nil
	}
	w, err := decodeRow(v)
	if err != nil {
		return nil, fmt.Errorf("account %d, message %d: %w", a, number, err)
	}
	return &w, nil
}

// storedDemand reads the row's demand; one that cannot be read is required.
func (w *row) storedDemand() requiretls.Demand {
	d, err := requiretls.DemandFromByte(w.demand)
	if err != nil {
		return requiretls.Required()
	}
	return d
}

// size is the octets of the message as its reader sees it.
func (w *row) size() uint64 { return w.bodySize + uint64(w.prefixLen) }

// public joins the row with what its mailbox says of it.
func (w *row) public(e *entry) Row {
	return Row{
		UID: e.uid, EmailID: w.emailID, ThreadID: w.threadID,
		InternalDate: time.UnixMicro(w.date).In(zoneAt(int(w.zone))), SaveDate: time.Unix(e.saved, 0).UTC(),
		Size: int64(w.size()), HeaderSize: int64(w.headerSize) + int64(w.prefixLen),
		Demand:     requiretls.Agree(w.storedDemand(), e.flags.Demand()),
		TLSVersion: w.tlsVersion, TLSCipher: w.tlsCipher, Peer: w.peer,
	}
}
