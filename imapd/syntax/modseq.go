package syntax

// AppendVanished writes "* VANISHED 41,43:44" CRLF: these UIDs are expunged now
// (RFC 7162 §3.2.10).
func AppendVanished(dst []byte, uids []Range) []byte {
	return appendVanished(append(dst, "* VANISHED "...), uids)
}

// AppendVanishedEarlier writes "* VANISHED (EARLIER) 41,43:44" CRLF: these UIDs
// were expunged before; no message number changes.
func AppendVanishedEarlier(dst []byte, uids []Range) []byte {
	return appendVanished(append(dst, "* VANISHED (EARLIER) "...), uids)
}

func appendVanished(dst []byte, uids []Range) []byte {
	return append(AppendSet(dst, uids), "\r\n"...)
}

// AppendModSeq writes MODSEQ (12), as a FETCH response has it (RFC 7162 §7).
func AppendModSeq(dst []byte, n uint64) []byte {
	return append(appendNumber(dst, "MODSEQ (", n), ')')
}

// AppendHighestModSeq writes "HIGHESTMODSEQ 12", to stand in brackets (RFC 7162
// §3.1.2.1).
func AppendHighestModSeq(dst []byte, n uint64) []byte {
	return appendNumber(dst, "HIGHESTMODSEQ ", n)
}

// AppendModified writes "MODIFIED 7,9", to stand in brackets: numbers, or UIDs
// after a UID STORE, that were not changed (RFC 7162 §3.1.3).
func AppendModified[N ~uint32](dst []byte, nums []N) []byte {
	return AppendNums(append(dst, "MODIFIED "...), nums)
}
