package syncproto

// Text is a message for people: what happened, and what to do next.
type Text struct {
	Indonesian string
	English    string
}

// Text returns the message of the code. Unknown codes, of a later version,
// get a general one.
func (c Code) Text() Text {
	if t, ok := texts[c]; ok {
		return t
	}
	return Text{"Permintaan ditolak. Perbarui aplikasi lalu coba lagi.", "The request was refused. Update the app and try again."}
}

//nolint:gochecknoglobals // the catalogue of messages, never written to
var texts = map[Code]Text{
	CodeMalformed:           {"Permintaan tidak dapat dibaca. Perbarui aplikasi; data tetap ada di perangkat.", "The request can't be read. Update the app; the data stays on the device."},
	CodeUnsupportedVersion:  {"Versi protokol ini tidak didukung. Perbarui aplikasi.", "This protocol version is not supported. Update the app."},
	CodeUnsupportedMedia:    {"Jenis isi tidak didukung. Gunakan jenis yang disebut dalam SPEC.", "The content type is not supported. Use one that SPEC names."},
	CodeTooLarge:            {"Kiriman terlalu besar. Kirim dalam bagian yang lebih kecil.", "The message is too large. Send it in smaller parts."},
	CodeDecompressedSize:    {"Isi setelah dibuka melebihi batas. Kirim dalam bagian yang lebih kecil.", "The decompressed content is beyond the limit. Send it in smaller parts."},
	CodeTooMany:             {"Jumlah butir melebihi batas. Kirim lebih sedikit sekaligus.", "There are more entries than allowed. Send fewer at a time."},
	CodeTimeout:             {"Kiriman terlalu lambat atau terputus. Coba lagi saat sinyal lebih baik.", "The message was too slow or was cut. Try again with a better signal."},
	CodeRateLimited:         {"Terlalu banyak permintaan. Tunggu sesuai Retry-After.", "Too many requests. Wait as Retry-After says."},
	CodeUnavailable:         {"Server sedang tidak siap. Data aman di perangkat; coba lagi nanti.", "The server is not ready. The data is safe on the device; try again later."},
	CodeInternal:            {"Ada kesalahan di server. Data aman di perangkat; laporkan kepada pengelola.", "The server has failed. The data is safe on the device; tell the operator."},
	CodeNotFound:            {"Tidak ditemukan.", "Not found."},
	CodeMethodNotAllowed:    {"Metode tidak didukung di alamat ini.", "The method is not supported at this address."},
	CodeFilterInvalid:       {"Saringan tidak dapat dibaca. Periksa nama dan bentuk nilainya.", "The filter can't be read. Check its names and values."},
	CodeCursorInvalid:       {"Penanda posisi tidak berlaku di server ini. Mulai lagi tanpa penanda.", "The cursor is not valid on this server. Start again without it."},
	CodeUnauthorized:        {"Perlu masuk. Sertakan token yang berlaku.", "Sign in first. Send a valid token."},
	CodeForbidden:           {"Peran Anda tidak mencakup tindakan ini. Mintalah kepada pengelola.", "Your role does not cover this. Ask the operator."},
	CodeTokenInvalid:        {"Token tidak sah. Masuk atau daftarkan perangkat lagi.", "The token is not valid. Sign in or enrol the device again."},
	CodeTokenExpired:        {"Token sudah kedaluwarsa. Buat token baru.", "The token has expired. Make a new one."},
	CodeTokenReplayed:       {"Token sudah pernah dipakai. Buat token baru untuk setiap permintaan.", "The token was used before. Make a new one for each request."},
	CodeClockSkew:           {"Jam perangkat tidak cocok dengan server. Aplikasi menyesuaikan lalu mencoba lagi.", "The device's clock differs from the server's. The app corrects it and tries again."},
	CodeWrongServer:         {"Token ini untuk server lain. Periksa alamat server.", "The token is for another server. Check the server's address."},
	CodeDeviceUnknown:       {"Perangkat tidak dikenal. Daftarkan perangkat dengan kode baru.", "The device is not known. Enrol it with a new code."},
	CodeDeviceRevoked:       {"Perangkat sudah dicabut. Serahkan perangkat kepada pengelola; data belum dihapus oleh server.", "The device was revoked. Hand it to the operator; the server has deleted nothing."},
	CodeEnrolmentInvalid:    {"Kode pendaftaran salah. Mintalah kode baru.", "The enrolment code is wrong. Ask for a new one."},
	CodeEnrolmentUsed:       {"Kode pendaftaran sudah dipakai. Mintalah kode baru.", "The enrolment code was used. Ask for a new one."},
	CodeEnrolmentExpired:    {"Kode pendaftaran sudah lewat waktu. Mintalah kode baru.", "The enrolment code has expired. Ask for a new one."},
	CodeReplicaNotYours:     {"Identitas penulis bukan milik perangkat ini. Daftarkan perangkat lagi.", "The replica id does not belong to this device. Enrol it again."},
	CodeClaimInvalid:        {"Tanda tangan pernyataan tidak sah. Daftarkan perangkat lagi.", "The claim's signature is not valid. Enrol the device again."},
	CodeConflictingIdentity: {"Identitas ini sudah dipakai perangkat lain. Daftarkan perangkat lagi.", "The identity belongs to another device. Enrol again."},

	CodeBadID:        {"Pengenal tidak sah.", "An id is not valid. The sender's app needs mending."},
	CodeBadPath:      {"Nama isian tidak sah.", "A field's path is not valid. Use a name that SPEC allows."},
	CodeBadValue:     {"Nilai isian tidak sah. Perbaiki isian lalu simpan lagi.", "A value is not valid. Correct the field and save again."},
	CodeBadVector:    {"Vektor versi tidak sah. Kiriman disimpan untuk diperiksa pusat.", "A version vector is not valid. The message is kept for headquarters."},
	CodeBadRecord:    {"Rekaman tidak utuh. Kiriman disimpan untuk diperiksa pusat.", "The record is not well formed. The message is kept for headquarters."},
	CodeTooDeep:      {"Nilai bersarang terlalu dalam. Sederhanakan isiannya.", "A value is nested too deeply. Make it simpler."},
	CodeInvalidUTF8:  {"Teks rusak (bukan UTF-8). Tulis ulang isian itu.", "Text is damaged (not UTF-8). Write the field again."},
	CodeNeedFull:     {"Server memerlukan keadaan penuh rekaman ini; dikirim pada sinkron berikut.", "The server needs this record's full state; the next sync sends it."},
	CodeTripwire:     {"Riwayat rekaman ini bertentangan; keduanya disimpan dan diperbaiki.", "The histories of this record contradict each other; both are kept and repaired."},
	CodeEquivocation: {"Satu penulisan muncul dengan dua isi; keduanya disimpan.", "One write appears with two contents; both are kept."},
	CodeForgedDot:    {"Kiriman memuat tulisan atas nama perangkat lain; disimpan untuk diperiksa pusat.", "The message holds writes in another device's name; it is kept for headquarters."},
	CodeCounterJump:  {"Penghitung melompat terlalu jauh; kiriman disimpan untuk diperiksa pusat.", "A counter jumps too far; the message is kept for headquarters."},
	CodeScopeDenied:  {"Di luar wilayah tugas perangkat ini; disimpan dan diteruskan kepada pusat.", "Outside this device's region; kept and passed on to headquarters."},
	CodeBadScope:     {"Kode wilayah tidak sah. Gunakan kode kecamatan, misalnya 35.24.14.", "The region code is not valid. Use a district code such as 35.24.14."},
	CodePurged:       {"Rekaman ini sudah dihapus pusat menurut masa simpan; salinan di perangkat dihapus.", "Headquarters erased this record for retention; the copy on the device goes."},
	CodeDamaged:      {"Simpanan server untuk rekaman ini rusak. Kiriman disimpan; pengelola memperbaikinya.", "What the server stored of this record is damaged. The message is kept; the operator repairs it."},

	CodeNoSpace:       {"Ruang penyimpanan penuh. Kosongkan ruang; yang sudah tersimpan tetap aman.", "No space left. Free some; what was saved is safe."},
	CodeCacheDamaged:  {"Berkas data rusak. Jangan hapus; serahkan kepada pengelola.", "The data file is damaged. Don't delete it; hand it to the operator."},
	CodeCacheForeign:  {"Berkas ini bukan data Sambang. Pilih folder lain.", "This file is not Sambang's. Choose another folder."},
	CodeCacheNewer:    {"Berkas ini dari versi aplikasi yang lebih baru. Perbarui aplikasi.", "This file is from a newer version of the app. Update the app."},
	CodeCacheWrongKey: {"Kunci data salah. Buka dengan akun yang menyimpannya.", "The data key is wrong. Open it with the account that saved it."},
	CodeCacheInUse:    {"Data sedang dibuka proses lain. Tutup yang lain dahulu.", "Another process has the data open. Close it first."},
	CodeCacheClosed:   {"Penyimpanan ditutup setelah kesalahan. Buka lagi aplikasi.", "The store was closed after a failure. Open the app again."},
	CodeNotEnrolled:   {"Perangkat belum didaftarkan. Pindai kode dari pusat.", "The device is not enrolled. Scan a code from headquarters."},
	CodeOffline:       {"Tidak ada sinyal. Data menunggu di perangkat.", "No signal. The data waits on the device."},
	CodeHole:          {"Salinan rekaman ini lebih tua dari tulisan perangkat; identitas penulis diganti.", "This copy is older than the device's own writes; the replica id changes."},
	CodeBadReceipt:    {"Tanda terima server tidak sah; data dianggap belum diterima.", "The server's receipt is not valid; the data counts as not received."},
	CodeBadResponse:   {"Balasan server tidak dapat dibaca; data tetap di perangkat.", "The server's reply can't be read; the data stays on the device."},
	CodeBadPack:       {"Paket formulir tidak sah. Mintalah paket baru.", "The pack is not valid. Ask for a new one."},
	CodeKindUnknown:   {"Jenis rekaman tidak dikenal paket ini.", "The pack does not know this kind of record."},
	CodeFieldUnknown:  {"Isian tidak dikenal paket ini.", "The pack does not know this field."},

	CodeStoreAddress:    {"Alamat basis data tidak dikenal. Gunakan postgres://PENGGUNA@HOST/NAMA, atau kosongkan untuk berkas di folder data.", "The address of the store is not known. Use postgres://USER@HOST/NAME, or none for a file in the data folder."},
	CodeStoreIdentity:   {"Basis data ini milik server dengan kunci lain. Salin server.key dari server pertama ke folder data.", "This store belongs to a server with another key. Copy server.key of its first server into the data folder."},
	CodeStoreBackup:     {"PostgreSQL disalin dengan alatnya sendiri: pg_basebackup dengan arsip WAL, atau pg_dump. Simpan server.key secara terpisah.", "PostgreSQL is backed up with its own tools: pg_basebackup with an archive of the WAL, or pg_dump. Keep server.key apart."},
	CodeStoreMoved:      {"Data ini sudah dipindahkan ke basis data lain. Jalankan sambangd dengan -store ke basis data itu; berkas lama hanya arsip.", "This store was moved to another database. Run sambangd with -store of that database; the old file is an archive."},
	CodeStoreUnfinished: {"Pemindahan ke basis data ini belum selesai. Jalankan lagi perintah migrate yang sama; server belum boleh memakainya.", "The move into this database is not finished. Run the same migrate command again; no server may use it before."},
	CodeStoreOccupied:   {"Basis data tujuan sudah berisi data lain dan tidak diubah. Gunakan basis data yang kosong.", "The target database holds other data and was not changed. Use an empty one."},
	CodeStoreDamaged:    {"Data asal rusak; tidak ada yang dipindahkan. Perbaiki atau pulihkan dari salinan, atau ulangi dengan -with-damage supaya yang rusak ikut dan tetap ditandai rusak.", "The source is damaged; nothing was moved. Repair or restore it, or use -with-damage to take the damage along, marked as such."},
	CodeStoreDiffers:    {"Kedua basis data belum sama; asal tetap berlaku. Hentikan program lain yang memakai tujuan, lalu jalankan lagi perintah yang sama.", "The two stores are not the same yet; the source stays in force. Stop whatever else uses the target, then run the same command again."},
	CodeMoveDirection:   {"Pemindahan hanya dari sqlite: ke postgres://.", "A store moves from sqlite: to postgres:// only."},
	CodeStoreUpgrade:    {"Tabel basis data harus dibuat atau diperbarui oleh pemiliknya. Jalankan `sambangd schema` dengan -store peran pemilik, lalu coba lagi.", "The tables must be made or upgraded by their owner. Run `sambangd schema` with -store of the owner's role, then try again."},
	CodeStoreRole:       {"Peran basis data ini tidak punya hak yang diperlukan. Berikan keluaran `sambangd roles` kepada psql sebagai pengelola, jalankan `sambangd schema` sebagai pemilik, atau gunakan peran server.", "This role lacks what the server needs in the database. Give psql what `sambangd roles` prints, as administrator, run `sambangd schema` as owner, or connect as the server's role."},
}
