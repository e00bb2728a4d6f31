import { expect } from 'chai'
import fc from 'fast-check'
import { Packer, Unpacker } from '../../../../src/dialects/kafboy/hooks/packing.js'

describe('kafboy: byte strings for another thread', () => {
  it('come out as they went in: text, bytes, empty and null', () => {
    const one = fc.oneof(fc.string(), fc.uint8Array({ maxLength: 5_000 }), fc.constant(null), fc.constant(''))
    fc.assert(
      fc.property(fc.array(one, { maxLength: 100 }), contents => {
        const packer = new Packer()
        for (const content of contents) packer.add(content)
        const unpacker = new Unpacker(structuredClone(packer.take()))
        for (const content of contents) {
          const bytes = unpacker.next()
          if (content === null) expect(bytes).to.equal(null)
          else expect(bytes!.equals(Buffer.from(content as string))).to.equal(true)
        }
      })
    )
  })

  it('starts again after a take', () => {
    const packer = new Packer()
    packer.add('before')
    packer.take()
    packer.add('after')
    expect(String(new Unpacker(packer.take()).next())).to.equal('after')
  })
})
