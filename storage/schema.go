package storage

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"

	"letterlock/storage/kv"
	"letterlock/storage/segment"
)

// Every key of the index is made here. All numbers are big-endian, so that
// keys sort as their numbers do. A key starts with the account it belongs to;
// account 0 is the system. The demand of a message (RFC 8689 §4.1: the tag is
// kept with the message and with every copy) stands in two of the values, the
// row 'm' and the flags in 'c', and a third time in the segment's record.
//
// The examples are those of account 7, mailbox 3, in hexadecimal after the
// account's sixteen digits and the letter.
const (
	keyAccount   = 'a' // 0000000000000007 61                     → account: state, quota, next mailbox
	keyBox       = 'b' // 0000000000000007 62 00000003            → mailbox: name, counters, keywords
	keyBlock     = 'c' // 0000000000000007 63 00000003 00000101   → columns of up to 256 messages, from UID 257 on
	keySummary   = 'e' // 0000000000000007 65 000000000000002a    → summary of message number 42
	keyDead      = 'g' // 0000000000000007 67 00000003 0000000000000009 0000 → message numbers that left mailbox 3 at modseq 9; mailbox 0: row 9 of the outbox
	keyRow       = 'm' // 0000000000000007 6d 000000000000002a    → row of message number 42
	keyNote      = 'i' // 0000000000000007 69 00000003 "/private/comment" 00 00 → the first 60 KiB of an annotation; mailbox 0: the account's own
	keyFilters   = 'h' // 0000000000000007 68 000000000000002a    → filters of messages, the first of which has number 42
	keyFiltered  = 'j' // 0000000000000007 6a                     → up to which number filters were made
	keyMemory    = 'q' // 0000000000000007 71 and 32 octets of hash → until when something is remembered
	keyForget    = 'y' // 0000000000000007 79 0000000065920080 and 32 octets of hash → to be forgotten at that second
	keyName      = 'n' // 0000000000000007 6e "Lists/Go"          → mailbox id; 00 and a hash for a long name
	keyFormer    = 'k' // 0000000000000007 6b "Lists/Go"          → the greatest UIDVALIDITY a mailbox had that has lost this name; 00 and a hash for a long one
	keySubscribe = 's' // 0000000000000007 73 "Lists/Go"          → the name; 00 and a hash for a long one
	keyActive    = 'p' // 0000000000000007 70                     → id of the active script
	keySending   = 'o' // 0000000000000007 6f 000000000000002a 0000000000000104 → row 260 of the outbox wants the octets of message 42
	keyScript    = 'f' // 0000000000000007 66 0000000000000002    → script 2: name, size, SHA-256
	keyText      = 'x' // 0000000000000007 78 0000000000000002 0000 → the first 60 KiB of script 2
	keyThread    = 't' // 0000000000000007 74 9f86d081884c7d65    → thread id, by hash of a Message-ID
	keyVanished  = 'v' // 0000000000000007 76 00000003 0000000000000009 0000 → UID ranges that vanished at modseq 9

	// The system's, in the shard of account 0.
	keyPerson  = 'u' // 0000000000000000 75 "ann@example.org"   → person
	keyAlias   = 'A' // 0000000000000000 41 "@example.org"      → alias; a catch-all starts with @
	keyNext    = 'N' // 0000000000000000 4e                     → next account id
	keyRemoval = 'r' // 0000000000000000 72 0000000000000007    → account 7 is being removed
	keyRetry   = 'R' // 0000000000000000 52 and 32 octets of hash → until when a letter is remembered as taken

	// The system's, in every shard.
	keyMark      = 'w' // 0000000000000000 77                     → how far the log is applied in this shard
	keyDeadBytes = 'd' // 0000000000000000 64 0000000000000002    → octets of segment 2 that this shard's accounts gave up
	keyReap      = 'G' // 0000000000000000 47 0000000000000007    → account 7 has dead messages
	keyOut       = 'O' // 0000000000000000 4f 0000000000000104    → row 260 of the outbox
	keyOutText   = 'P' // 0000000000000000 50 0000000000000104 0000 → the first 60 KiB of what we wrote for it
	keyDue       = 'D' // 0000000000000000 44 0005e0f3b1c2a000 0000000000000104 → row 260 is due at that microsecond: its domain
	keyPostponed = 'H' // 0000000000000000 48 0000000000000007 000000000000002a → where in the log the item with number 42 lies, which account 7 has not got since it is stopped
	keyNextOut   = 'Q' // 0000000000000000 51                     → next row of the outbox in this shard
)

// systemAccount owns what belongs to nobody.
const systemAccount AccountID = 0

func key(a AccountID, letter byte) []byte { return appendKey(make([]byte, 0, 32), a, letter) }

func appendKey(b []byte, a AccountID, letter byte) []byte {
	return append(binary.BigEndian.AppendUint64(b, uint64(a)), letter)
}

func appendUint64Key(b []byte, a AccountID, letter byte, n uint64) []byte {
	return binary.BigEndian.AppendUint64(appendKey(b, a, letter), n)
}

// accountPrefix starts every key of an account.
func accountPrefix(a AccountID) []byte { return binary.BigEndian.AppendUint64(nil, uint64(a)) }

func keyUint32(a AccountID, letter byte, n uint32) []byte {
	return binary.BigEndian.AppendUint32(key(a, letter), n)
}

func keyUint64(a AccountID, letter byte, n uint64) []byte {
	return appendUint64Key(make([]byte, 0, 32), a, letter, n)
}

func accountKey(a AccountID) []byte                { return key(a, keyAccount) }
func boxKey(a AccountID, m MailboxID) []byte       { return keyUint32(a, keyBox, uint32(m)) }
func blocksKey(a AccountID, m MailboxID) []byte    { return keyUint32(a, keyBlock, uint32(m)) }
func rowKey(a AccountID, number uint64) []byte     { return keyUint64(a, keyRow, number) }
func summaryKey(a AccountID, number uint64) []byte { return keyUint64(a, keySummary, number) }
func threadKey(a AccountID, hash uint64) []byte    { return keyUint64(a, keyThread, hash) }
func markKey() []byte                              { return key(systemAccount, keyMark) }
func deadBytesKey(segment uint64) []byte           { return keyUint64(systemAccount, keyDeadBytes, segment) }
func reapKey(a AccountID) []byte                   { return keyUint64(systemAccount, keyReap, uint64(a)) }
func removalKey(a AccountID) []byte                { return keyUint64(systemAccount, keyRemoval, uint64(a)) }

func blockKey(a AccountID, m MailboxID, first UID) []byte {
	return binary.BigEndian.AppendUint32(blocksKey(a, m), uint32(first))
}

func scriptKey(a AccountID, id uint64) []byte     { return keyUint64(a, keyScript, id) }
func scriptTextKey(a AccountID, id uint64) []byte { return keyUint64(a, keyText, id) }

func scriptPartKey(a AccountID, id uint64, part int) []byte {
	return binary.BigEndian.AppendUint16(scriptTextKey(a, id), uint16(part))
}

func memoryKey(a AccountID, hash [32]byte) []byte { return append(key(a, keyMemory), hash[:]...) }

func forgetKey(a AccountID, at time.Time, hash [32]byte) []byte {
	return append(keyUint64(a, keyForget, uint64(max(0, at.Unix()))), hash[:]...)
}

func sendingKey(a AccountID, number uint64, id OutID) []byte {
	return appendUint64(keyUint64(a, keySending, number), uint64(id))
}

func appendUint64(k []byte, n uint64) []byte { return binary.BigEndian.AppendUint64(k, n) }

func notesKey(a AccountID, m MailboxID) []byte { return keyUint32(a, keyNote, uint32(m)) }

// noteKey starts all parts of one annotation; no name has a zero octet.
func noteKey(a AccountID, m MailboxID, name string) []byte {
	return append(append(notesKey(a, m), name...), 0)
}

func filtersKey(a AccountID) []byte              { return key(a, keyFilters) }
func filterKey(a AccountID, first uint64) []byte { return keyUint64(a, keyFilters, first) }
func filteredKey(a AccountID) []byte             { return key(a, keyFiltered) }

func outKey(id OutID) []byte     { return keyUint64(systemAccount, keyOut, uint64(id)) }
func outTextKey(id OutID) []byte { return keyUint64(systemAccount, keyOutText, uint64(id)) }

func outPartKey(id OutID, part int) []byte {
	return binary.BigEndian.AppendUint16(outTextKey(id), uint16(part))
}

func dueKey(at time.Time, id OutID) []byte {
	return binary.BigEndian.AppendUint64(keyUint64(systemAccount, keyDue, uint64(max(0, at.UnixMicro()))), uint64(id))
}

// partKey is one part of what happened in a mailbox at a modseq.
func partKey(a AccountID, letter byte, m MailboxID, at ModSeq, part int) []byte {
	b := binary.BigEndian.AppendUint64(keyUint32(a, letter, uint32(m)), uint64(at))
	return binary.BigEndian.AppendUint16(b, uint16(part))
}

// namedKey keeps keys short: a name of more than 400 octets is found by its
// hash, behind a zero octet that no name starts with.
func namedKey(a AccountID, letter byte, name string) []byte {
	b := key(a, letter)
	if len(name) > 400 {
		sum := sha256.Sum256([]byte(name))
		return append(append(b, 0), sum[:]...)
	}
	return append(b, name...)
}

// keyAccountOf reads the account a key belongs to.
func keyAccountOf(k []byte) AccountID { return AccountID(binary.BigEndian.Uint64(k)) }

// tailUint32 and tailUint64 read the number a key ends with.
func tailUint32(k []byte) uint32 { return binary.BigEndian.Uint32(k[len(k)-4:]) }
func tailUint64(k []byte) uint64 { return binary.BigEndian.Uint64(k[len(k)-8:]) }

// hide says how many leading octets of a key a sealed index leaves in clear:
// names, addresses and hashes of what somebody wrote are not for those who have
// the disk alone.
func hide(k []byte) int {
	if len(k) <= 8 {
		return 0
	}
	switch k[8] {
	case keyName, keySubscribe, keyFormer, keyPerson, keyAlias, keyThread, keyMemory, keyRetry:
		return 9
	case keyNote:
		return 13
	case keyForget:
		return 17
	}
	return 0
}

// keyHead is how many octets of a key say what it is of.
const keyHead = 9

// remembered says which keys are kept in memory: what is asked for each letter, and
// for each look into a mailbox.
func remembered(k []byte) bool {
	if len(k) < keyHead {
		return false
	}
	switch k[keyHead-1] {
	case keyAccount, keyName, keyAlias, keyBox, keySubscribe:
		return true
	}
	return false
}

// Every value starts with its CRC-32C and a version octet.
const (
	valueHeader  = 5
	valueVersion = 1
)

// sealValue finishes a value whose first five octets were left for the header.
func sealValue(b []byte) []byte {
	b[4] = valueVersion
	binary.LittleEndian.PutUint32(b, segment.Checksum(b[4:]))
	return b
}

func newValue() []byte { return make([]byte, valueHeader, 128) }

// open checks a value and answers what lies behind the header.
func open(b []byte) ([]byte, error) {
	if len(b) < valueHeader || binary.LittleEndian.Uint32(b) != segment.Checksum(b[4:]) {
		return nil, fmt.Errorf("index value: %w", segment.ErrDamaged)
	}
	if b[4] != valueVersion {
		return nil, fmt.Errorf("index value of version %d: %w", b[4], segment.ErrDamaged)
	}
	return b[valueHeader:], nil
}

// get reads and checks a value; nil, nil is an absent one.
func get(r kv.Reader, k []byte) ([]byte, error) {
	b := r.Get(k)
	if b == nil {
		return nil, nil
	}
	v, err := open(b)
	if err != nil {
		return nil, fmt.Errorf("key %x: %w", k, err)
	}
	return v, nil
}

// fields reads a value that is a list of fields; nil is an absent one.
func fields(r kv.Reader, k []byte) (*segment.Fields, error) {
	v, err := get(r, k)
	if v == nil || err != nil {
		return nil, err
	}
	return segment.ReadFields(v), nil
}
