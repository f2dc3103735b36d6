package main

import "github.com/sambang-id/sambang/syncproto"

// The catalogue of what the example says: Indonesian first, English second.
//
//nolint:gochecknoglobals // a catalogue, never written to
var (
	textServer     = syncproto.Text{Indonesian: "Server pusat berjalan di %s (%s)", English: "Headquarters' server runs at %s (%s)"}
	textEnrolled   = syncproto.Text{Indonesian: "%d perangkat terdaftar, masing-masing dengan berkas datanya sendiri", English: "%d devices enrolled, each with its own cache file"}
	textPlay       = syncproto.Text{Indonesian: "Kunjungan luring dan sinkronisasi, menurut waktu kejadian", English: "Offline visits and syncs, in the order of events"}
	textCaptured   = syncproto.Text{Indonesian: "%s %s %-12s LURING  %s: %s (%d rekaman menunggu)", English: "%s %s %-12s OFFLINE %s: %s (%d records wait)"}
	textSynced     = syncproto.Text{Indonesian: "%s %s %-12s SINKRON %d naik, %d turun, %d+%d bita, %d permintaan%s", English: "%s %s %-12s SYNC    %d up, %d down, %d+%d bytes, %d requests%s"}
	textLost       = syncproto.Text{Indonesian: "%s %s %-12s PUTUS   balasan hilang, percobaan %d diulang; tidak ada yang ganda", English: "%s %s %-12s CUT     reply lost, attempt %d is repeated; nothing comes twice"}
	textProgress   = syncproto.Text{Indonesian: "    mengirim %d/%d, menerima %d/%d, %d bita", English: "    sending %d/%d, receiving %d/%d, %d bytes"}
	textAside      = syncproto.Text{Indonesian: ", %d diterima tetapi menunggu keputusan", English: ", %d received but awaiting a decision"}
	textEvicted    = syncproto.Text{Indonesian: ", %d keluar dari perangkat", English: ", %d left the device"}
	textConflicts  = syncproto.Text{Indonesian: ", %d konflik baru", English: ", %d new conflicts"}
	textSkew       = syncproto.Text{Indonesian: ", jam perangkat maju %s", English: ", the device's clock is %s ahead"}
	textPurged     = syncproto.Text{Indonesian: "Pusat menghapus %s %s: %s", English: "Headquarters erases %s %s: %s"}
	textLog        = syncproto.Text{Indonesian: "Log gabungan di pusat: %d rekaman", English: "Merged log at headquarters: %d records"}
	textEntry      = syncproto.Text{Indonesian: "  %-10s %-10s %-13s %s%s", English: "  %-10s %-10s %-13s %s%s"}
	textFlags      = [...]syncproto.Text{{Indonesian: " [konflik %d]", English: " [conflicts %d]"}, {Indonesian: " [jam mencurigakan]", English: " [suspect clock]"}, {Indonesian: " [dihapus pusat]", English: " [erased]"}}
	textConflict   = syncproto.Text{Indonesian: "Konflik: kedua nilai disimpan, tidak ada yang ditimpa", English: "Conflicts: both values are kept, nothing is overwritten"}
	textField      = syncproto.Text{Indonesian: "  %s %s, isian %s (%s)", English: "  %s %s, field %s (%s)"}
	textReview     = [...]syncproto.Text{{Indonesian: "perlu keputusan", English: "needs a decision"}, {Indonesian: "dipilih menurut aturan %s", English: "chosen by the rule %s"}}
	textValue      = syncproto.Text{Indonesian: "    %s %-24s %s (%s), ditulis %s, diterima %s%s", English: "    %s %-24s %s (%s), written %s, received %s%s"}
	textComputed   = syncproto.Text{Indonesian: "    %s pengamatan bertentangan: %s", English: "    %s contradicting observations: %s"}
	textInbox      = syncproto.Text{Indonesian: "Kotak masuk: diterima, belum diterapkan, menunggu keputusan", English: "Inbox: received, not applied, awaiting a decision"}
	textMessage    = syncproto.Text{Indonesian: "  %-10s wilayah %s dari %s: %s", English: "  %-10s region %s from %s: %s"}
	textCustody    = syncproto.Text{Indonesian: "Penjagaan per perangkat, menurut tanda terima yang ditandatangani server", English: "Custody per device, by the receipts that the server signed"}
	textCustodyRow = syncproto.Text{Indonesian: "  %-14s di perangkat %d, diterima %d, tersimpan di pusat %d; tulisan %d dari %d", English: "  %-14s on phone %d, received %d, held by headquarters %d; writes %d of %d"}
	textLook       = syncproto.Text{Indonesian: "Melihat lebih jauh", English: "To look further"}
	textStays      = syncproto.Text{Indonesian: "Server tetap berjalan. Ctrl-C untuk berhenti.", English: "The server stays up. Ctrl-C ends it."}
	textStopped    = syncproto.Text{Indonesian: "Server berhenti: %v", English: "The server has stopped: %v"}
	textStopping   = syncproto.Text{Indonesian: "Berhenti.", English: "Stopping."}
)
