import { readFileSync } from 'node:fs'
import { expect } from 'chai'
import wabt from 'wabt'
import { CONTROL_BYTES_WASM, hasControlByte } from '../../../src/core/json/json-strings.js'

describe('hasControlByte', () => {
  it('finds every control byte at every place and alignment', () => {
    const memory = new Uint8Array(96)
    for (let start = 0; start < 5; start++) {
      for (let length = 0; length < 80; length++) {
        const bytes = memory.subarray(start, start + length).fill(0x20)
        expect(hasControlByte(bytes)).to.equal(false)
        for (let at = 0; at < length; at++) {
          bytes[at] = at % 0x20
          if (!hasControlByte(bytes)) expect.fail(`missed ${bytes[at]} at ${at} of ${length}, start ${start}`)
          bytes[at] = 0x20
        }
      }
    }
  })

  it('takes no other byte for one, whatever stands beside it', () => {
    const bytes = new Uint8Array(40)
    for (let byte = 0x20; byte < 0x100; byte++) {
      for (const neighbour of [0x20, 0x7f, 0x80, 0xff]) {
        bytes.fill(neighbour)
        for (let at = 0; at < 40; at += 3) bytes[at] = byte
        if (hasControlByte(bytes)) expect.fail(`${byte} beside ${neighbour}`)
      }
    }
  })

  it('finds one in any piece of much memory', () => {
    const bytes = new Uint8Array(200_000).fill(0x20)
    expect(hasControlByte(bytes)).to.equal(false)
    for (const at of [0, 65_535, 65_536, 131_071, 131_072, 199_999]) {
      bytes[at] = 0x1f
      expect(hasControlByte(bytes), String(at)).to.equal(true)
      bytes[at] = 0xff
      expect(hasControlByte(bytes), String(at)).to.equal(false)
    }
  })

  it('looks at nothing outside of its bytes', () => {
    const memory = new Uint8Array(64)
    const inner = memory.subarray(5, 50).fill(0x41)
    expect(hasControlByte(inner)).to.equal(false)
  })
})

describe('the WebAssembly module that looks for control bytes', () => {
  it('is what its source says', async () => {
    const { parseWat } = await wabt()
    const source = readFileSync('src/core/json/control-bytes.wat', 'utf8')
    const module = parseWat('control-bytes.wat', source, { simd: true })
    expect(Buffer.from(module.toBinary({}).buffer).toString('base64')).to.equal(CONTROL_BYTES_WASM)
    module.destroy()
  })
})
