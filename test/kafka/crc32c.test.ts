import { expect } from 'chai'
import fc from 'fast-check'
import { crc32c, crc32cOfJavaScript, loadNativeCrc32c } from '../../src/kafka/crc32c.js'

describe('crc32c', () => {
  const implementations = { native: loadNativeCrc32c()!, javascript: crc32cOfJavaScript, chosen: crc32c }

  for (const [name, implementation] of Object.entries(implementations)) {
    it(`matches the published check values (${name})`, () => {
      expect(implementation(Buffer.from('123456789'))).to.equal(0xe3069283)
      expect(implementation(Buffer.alloc(32))).to.equal(0x8a9136aa)
      expect(implementation(Buffer.alloc(32, 0xff))).to.equal(0x62a8ab43)
      expect(implementation(Buffer.alloc(0))).to.equal(0)
    })
  }

  it('is the same in JavaScript and natively, in one piece and continued', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), fc.nat(100), (bytes, cut) => {
        const whole = implementations.native(bytes)
        expect(crc32cOfJavaScript(bytes)).to.equal(whole)
        expect(crc32cOfJavaScript(bytes.subarray(cut), crc32cOfJavaScript(bytes.subarray(0, cut)))).to.equal(whole)
      })
    )
  })
})
