#GENERATION_MODE="1"
#SPAMPROTECTION="0"
require ["vacation"];

if header :contains "X-Spam-Flag" "YES" { keep; stop; } # FIXME?
vacation :addresses [ "ann@example.org", "ann@example.com" ] :days 7 text:
I am out of office till 11/24/2026.

In urgent cases, please contact Mrs. <vacation replacement>
.
;