package syntax

import "strings"

// GetQuota is GETQUOTA (RFC 9208 §4.1.1).
type GetQuota struct{ Root string }

// GetQuotaRoot is GETQUOTAROOT (RFC 9208 §4.1.2). The mailbox need not exist.
type GetQuotaRoot struct{ Mailbox string }

// SetQuota is SETQUOTA (RFC 9208 §4.1.3): what is not in Limits has none.
type SetQuota struct {
	Root   string
	Limits []QuotaLimit
}

// QuotaLimit is how much there may be of a resource.
type QuotaLimit struct {
	Resource string // STORAGE, MESSAGE, MAILBOX or another, in upper case
	Limit    int64  // STORAGE in units of 1024 octets
}

func (d *Decoder) setQuota() Args {
	q := &SetQuota{}
	d.sp()
	q.Root = d.astring()
	d.sp()
	d.list(maxOptions, func() {
		l := QuotaLimit{Resource: strings.ToUpper(d.atom())}
		d.sp()
		l.Limit = d.number64()
		q.Limits = append(q.Limits, l)
	})
	return q
}

// Quota is a QUOTA response (RFC 9208 §4.2.1).
type Quota struct {
	Root      string
	Resources []QuotaResource
}

// QuotaResource is what is used of a resource and how much may be.
type QuotaResource struct {
	Name         string // STORAGE, in units of 1024 octets; MESSAGE; MAILBOX
	Usage, Limit int64
}

// AppendQuota writes "* QUOTA …" CRLF.
func AppendQuota(dst []byte, q *Quota, m Mode) []byte {
	dst = append(dst, "* QUOTA "...)
	dst = AppendString(dst, q.Root, m)
	dst = append(dst, ' ')
	dst = appendList(dst, q.Resources, func(dst []byte, r QuotaResource) []byte {
		dst = append(dst, r.Name...)
		dst = appendNumber(dst, " ", uint64(r.Usage))
		return appendNumber(dst, " ", uint64(r.Limit))
	})
	return append(dst, "\r\n"...)
}

// AppendQuotaRoot writes "* QUOTAROOT …" CRLF (RFC 9208 §4.2.2).
func AppendQuotaRoot(dst []byte, mailbox string, roots []string, m Mode) []byte {
	dst = append(dst, "* QUOTAROOT "...)
	dst = AppendMailbox(dst, mailbox, m)
	for _, root := range roots {
		dst = AppendString(append(dst, ' '), root, m)
	}
	return append(dst, "\r\n"...)
}
