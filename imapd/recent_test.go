package imapd

import (
	"testing"

	"letterlock/storage"
)

func TestRecentInManySpans(t *testing.T) {
	box := &mailbox{}
	for first := storage.UID(10); first < 100_000; first += 10 {
		box.recent = append(box.recent, span{first, first + 3})
	}
	for uid := storage.UID(1); uid < 100_020; uid++ {
		want := uid >= 10 && uid < 100_000 && uid%10 < 3
		if got := box.isRecent(uid); got != want {
			t.Fatalf("UID %d: got %v, want %v", uid, got, want)
		}
	}
}
