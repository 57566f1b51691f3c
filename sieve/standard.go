package sieve

// Standard is every extension of this package, the whole language. A program
// that wants less passes some of them in [Config.Extensions], one that wants
// more appends its own.
func Standard() []*Extension {
	return []*Extension{
		&octetExt, &asciiCasemapExt, &asciiNumericExt, &unicodeExt,
		&fileintoExt, &envelopeExt, &encodedExt, &copyExt, &variablesExt,
		&vacationExt, &vacationSecondsExt, &relationalExt, &flagsExt,
		&subaddressExt, &mailboxExt, &dateExt, &indexExt, &bodyExt,
		&environmentExt, &rejectExt, &erejectExt, &includeExt, &regexExt,
		&ihaveExt, &specialUseExt, &duplicateExt, &editheaderExt, &enotifyExt,
		&spamtestExt, &spamtestplusExt, &virustestExt, &envelopeDSNExt,
		&redirectDSNExt, &fccExt, &mimeExt, &foreverypartExt, &extracttextExt,
		&mboxMetadataExt, &serverMetadataExt, &mailboxIDExt,
	}
}
