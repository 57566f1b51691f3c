# >>> letterlock: forwards and vacation, written by its commands. Changes between these two lines are lost.
require ["copy", "date", "relational", "vacation", "vnd.letterlock.redirect-requiretls"];

# vacation
if allof (currentdate :value "ge" "date" "2026-12-24", currentdate :value "le" "date" "2027-01-06") {
vacation :days 3 :subject "Away \"soon\" back" :addresses ["ann@example.org", "info@example.org"] text:
I am away.

..hidden
# <<< letterlock
.
;
}

# forward
redirect :copy "bob@example.net";
redirect :copy :requiretls "\"a b\"@example.net";
# <<< letterlock
