package ablate

// Rule names one rule that can be switched off.
type Rule string

// The rules of the sync core.
const (
	// A00Net is no rule of the protocol but its safety net: tripwire,
	// equivocation check and absorb. It is taken out together with a rule that
	// has to hold without it.
	A00Net Rule = "A00"

	A01BaseCheck      Rule = "A01" // a delta is applied only on the base that it needs
	A02AckNamesCtx    Rule = "A02" // an acknowledgement names what was sent, and is no flag
	A03DeleteHasDot   Rule = "A03" // a deletion is a write with a dot
	A04Fence          Rule = "A04" // mark, chain and "nobody knows more of me than I do"
	A05Counter        Rule = "A05" // counters come from the journal, not from the clock
	A06Witness        Rule = "A06" // a rollback is noticed
	A07Stamp          Rule = "A07" // by stamps, not by numbers
	A08Cursor         Rule = "A08" // a cursor is no proof of what a device has
	A09Evict          Rule = "A09" // only what the server has all of is evicted
	A10WholeRecord    Rule = "A10" // the server drops no field of a record
	A11NoHiding       Rule = "A11" // the server hides no field of a record
	A12OwnHigh        Rule = "A12" // no write on a copy that is older than our own writes
	A13EpochForgets   Rule = "A13" // an epoch ends what the one before acknowledged
	A15Relayed        Rule = "A15" // others' writes are taken after a rollback
	A16Forged         Rule = "A16" // nobody writes in another's name
	A17CursorLast     Rule = "A17" // the cursor moves after the entries
	A18NoGC           Rule = "A18" // a field that was emptied keeps its dot
	A19NoPruning      Rule = "A19" // a version vector is never pruned
	A22ProjectionPure Rule = "A22" // showing writes nothing
	A23ServerReplica  Rule = "A23" // a restored server writes under a new replica id
	A24Trusted        Rule = "A24" // a reply under older grants counts for nothing
	A25MarkEachMint   Rule = "A25" // the mark is written at every mint
	A26ChainOnPull    Rule = "A26" // own heads in a response are checked
)

// The seeded bugs of the reliability plan.
const (
	R01NoSync       Rule = "R01" // a commit is synced
	R02WALNormal    Rule = "R02" // the server's log is synced at each commit
	R03DirSync      Rule = "R03" // a new file's folder is synced
	R04CommitFence  Rule = "R04" // after a failed commit the file is fenced
	R05Signature    Rule = "R05" // a device's signature is verified
	R06Algorithm    Rule = "R06" // the algorithm is the device's, not the header's
	R07Expiry       Rule = "R07" // a token without exp is refused
	R08Audience     Rule = "R08" // a token for another server is refused
	R09AckAfter     Rule = "R09" // a receipt follows the commit
	R10Idempotency  Rule = "R10" // a message that comes twice changes nothing
	R11Nonce        Rule = "R11" // no nonce is used twice
	R12AAD          Rule = "R12" // a sealed value opens only in its own place
	R13RegionFilter Rule = "R13" // what is read is filtered by region
	R15ReplayedJTI  Rule = "R15" // a token opens one request
)
