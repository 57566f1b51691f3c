package mime

import "letterlock/internal/mail"

// Octets is about how much memory a summary takes, for whoever holds many.
func Octets(sum *mail.Summary) int {
	n := costSummary + len(sum.Date) + len(sum.Subject) + len(sum.InReplyTo) + len(sum.MessageID) + len(sum.Preview)
	for _, list := range [...][]mail.Addr{sum.From, sum.Sender, sum.ReplyTo, sum.To, sum.Cc, sum.Bcc} {
		for i := range list {
			a := &list[i]
			n += costAddr + len(a.Name) + len(a.Route) + len(a.Mailbox) + len(a.Host)
		}
	}
	return n + stringOctets(sum.References) + partOctets(&sum.Root)
}

func partOctets(p *mail.Part) int {
	n := costPart
	for _, text := range [...]string{p.Type, p.Subtype, p.ID, p.Description, p.Encoding, p.MD5, p.Disposition, p.Location} {
		n += len(text)
	}
	for _, list := range [...][]mail.Param{p.Params, p.DispParams} {
		for _, param := range list {
			n += costParam + len(param.Name) + len(param.Value)
		}
	}
	for i := range p.Parts {
		n += partOctets(&p.Parts[i])
	}
	if p.Message != nil {
		n += Octets(p.Message)
	}
	return n + stringOctets(p.Language)
}

func stringOctets(list []string) (n int) {
	for _, s := range list {
		n += costString + len(s)
	}
	return n
}
