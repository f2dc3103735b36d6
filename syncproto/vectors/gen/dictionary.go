package gen

// withDictionary is the body of frame with nothing spoilt, compressed with the
// dictionary of version 1. It stands here as bytes, because another release of
// the compressor may give others that mean the same.
const withDictionary = "28b52ffd4600a98901004d04009406ff0112fc010a500a08a100081a083134125212500a10019cd55e5c907ae9bcef599e2c0b22711a060a01001201032a0300010242030201004a0b808080fdf1e7ea9c030202521d3134220a226f6e65221254080170e7af357f82dc2d1f9a062a030304058674776f220cfc60233e06f0196d798f2e930e7d1f2eb0c314f837e8fdfe198068d80348f2edbe"
