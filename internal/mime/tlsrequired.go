package mime

// TLSRequiredNo says whether header, the top-level header of a message, carries
// exactly one TLS-Required field whose value is No (RFC 8689 §3), in any case
// and with comments and white space around it; bad says that there is one that
// cannot be taken: two fields, another value (ignored and logged, never
// refused).
func TLSRequiredNo(header []byte) (no, bad bool) {
	count := 0
	for value := range named(header, "TLS-Required") {
		count++
		no = is(bareValue(value), "no")
	}
	return no && count == 1, count > 1 || count == 1 && !no
}

// TrustedRequireTLS says whether header, the top-level header of a message,
// carries Postfix's "Require-TLS-ESMTP: yes". Anybody can write it: it is asked
// only where the sender of the header is trusted, and can only raise a demand.
func TrustedRequireTLS(header []byte) bool {
	for value := range named(header, "Require-TLS-ESMTP") {
		if is(bareValue(value), "yes") {
			return true
		}
	}
	return false
}

// bareValue is a value without the comments and white space around it.
func bareValue(v string) string {
	v = v[skipCFWS(v, 0):]
	for i := range len(v) {
		if (isSpace(v[i]) || v[i] == '(') && skipCFWS(v, i) == len(v) {
			return v[:i]
		}
	}
	return v
}
