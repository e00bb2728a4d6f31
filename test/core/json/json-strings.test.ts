import { readFileSync } from 'node:fs'
import { expect } from 'chai'
import wabt from 'wabt'
import {
  JSON_STRINGS_WASM,
  listByLoop,
  listSpecialBytes,
  PIECE_BYTES,
  specialPlaces
} from '../../../src/core/json/json-strings.js'

const isSpecial = (byte: number): boolean => byte < 0x20 || byte === 0x22 || byte === 0x5c
const countOf = {
  'by the module': listSpecialBytes,
  'by a loop': (piece: Uint8Array): number => {
    // It looks at what the module has looked at.
    listSpecialBytes(piece)
    specialPlaces.fill(0, 0, piece.length)
    return (listByLoop(piece.length) - PIECE_BYTES) / 2
  }
}

for (const [how, count] of Object.entries(countOf)) {
  const listed = (bytes: Uint8Array): number[] => {
    const found = count(bytes)
    return [...specialPlaces.subarray(0, found)]
  }

  describe(`the special bytes of strings, ${how}`, () => {
    it('are found at every place and alignment', () => {
      const memory = new Uint8Array(96)
      for (let start = 0; start < 5; start++) {
        for (let length = 0; length < 80; length++) {
          const bytes = memory.subarray(start, start + length).fill(0x20)
          expect(listed(bytes)).to.deep.equal([])
          for (let at = 0; at < length; at++) {
            bytes[at] = [at % 0x20, 0x22, 0x5c][at % 3]!
            if (listed(bytes).join() !== String(at)) expect.fail(`${bytes[at]} at ${at} of ${length}, start ${start}`)
            bytes[at] = 0x20
          }
        }
      }
    })

    it('are no others, whatever stands beside them', () => {
      const bytes = new Uint8Array(70)
      for (let byte = 0; byte < 0x100; byte++) {
        for (const neighbour of [0x20, 0x22, 0x5c, 0x7f, 0x80, 0xff, 0x00]) {
          bytes.fill(neighbour)
          for (let at = 0; at < 70; at += 3) bytes[at] = byte
          const places = [...bytes.keys()].filter(at => isSpecial(bytes[at]!))
          expect(listed(bytes), `${byte} beside ${neighbour}`).to.deep.equal(places)
        }
      }
    })

    it('may be all bytes of a piece', () => {
      expect(count(new Uint8Array(PIECE_BYTES))).to.equal(PIECE_BYTES)
      expect(specialPlaces.every((place, at) => place === at)).to.equal(true)
    })

    it('are not looked for outside of the bytes', () => {
      const memory = new Uint8Array(64)
      expect(listed(memory.subarray(5, 50).fill(0x41))).to.deep.equal([])
    })
  })
}

describe('the WebAssembly module that looks for special bytes', () => {
  it('is what its source says', async () => {
    const { parseWat } = await wabt()
    const source = readFileSync('src/core/json/json-strings.wat', 'utf8')
    const module = parseWat('json-strings.wat', source, { simd: true })
    expect(Buffer.from(module.toBinary({}).buffer).toString('base64')).to.equal(JSON_STRINGS_WASM)
    module.destroy()
  })
})
