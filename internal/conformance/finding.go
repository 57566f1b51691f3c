package conformance

// finding is what a probe came to.
type finding struct {
	verdict        Verdict
	sent, answered string
	note           string
}

func unseen(why string) finding { return finding{note: why} }

// lost is for what went wrong before the question could be asked.
func lost(err error) finding { return unseen("the question could not be asked: " + err.Error()) }

func found(v Verdict, sent string, a answer, note string) finding {
	return finding{verdict: v, sent: sent, answered: a.String(), note: note}
}

// wantTaken passes where a command was taken. A temporary refusal proves
// nothing, and neither does silence.
func wantTaken(sent string, a answer) finding {
	switch {
	case a.taken(), a.goOn():
		return found(Pass, sent, a, "")
	case a.later():
		return found(Unseen, sent, a, "a temporary refusal: try again later")
	case a.silent():
		return found(Unseen, sent, a, "the server did not answer in time")
	}
	return found(Fail, sent, a, "it had to be taken")
}

// wantRefused passes where a command was not taken, be it by hanging up.
func wantRefused(sent string, a answer) finding {
	switch {
	case a.taken(), a.goOn():
		return found(Fail, sent, a, "it had to be refused")
	case a.silent():
		return found(Unseen, sent, a, "the server did not answer in time")
	}
	return found(Pass, sent, a, "")
}
