import { expect } from 'chai'
import { decodeBase64 } from '../../src/core/base64.js'
import { checkRows } from '../support/rows.js'

const decoded = (text: string): string | undefined => decodeBase64(Buffer.from(text))?.toString('hex')

describe('decodeBase64', () => {
  for (const [text, hex] of [
    ['', ''],
    ['AAH/', '0001ff'],
    ['Zg==', '66'],
    ['Zg', '66'],
    ['Zm8=', '666f'],
    ['Zm8', '666f']
  ] as const) {
    it(`reads ${JSON.stringify(text)}, with padding or without`, () => {
      expect(decoded(text)).to.equal(hex)
    })
  }

  it('a text that is not base64 is refused', () =>
    checkRows(
      ['fooba', 'Z', 'Zg=', 'Zm8==', '=', '==', '====', 'Zm=8', 'Z-8A', 'Z_8A', 'Zm 8', 'Zm8\n', 'Zmü8', 'Zg==Zg=='],
      text => expect(decoded(text)).to.equal(undefined)
    ))

  it('reads what Node writes, whatever the length', () => {
    for (let length = 0; length < 70; length++) {
      const bytes = Buffer.from(Array.from({ length }, (_, i) => (i * 37) % 256))
      expect(decoded(bytes.toString('base64'))).to.equal(bytes.toString('hex'))
    }
  })
})
