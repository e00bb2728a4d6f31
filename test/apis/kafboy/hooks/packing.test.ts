import { expect } from 'chai'
import fc from 'fast-check'
import { Packer, Unpacker } from '../../../../src/apis/kafboy/hooks/packing.js'

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

  it('are counted by their bytes, null not at all', () => {
    const packer = new Packer()
    for (const content of ['€', Buffer.from('ab'), null, '']) packer.add(content)
    expect(packer.sizeBytes).to.equal(5)
    const { bytes, lengths } = packer.take()
    expect([...lengths.subarray(0, 4)]).to.deep.equal([3, 2, -1, 0])
    expect(Buffer.from(bytes, 0, 5).toString()).to.equal('€ab')
    expect(packer.sizeBytes).to.equal(0)
  })

  it('may be many and large, and take no memory where there are none', () => {
    const packer = new Packer()
    const large = 'x'.repeat(300_000)
    for (let at = 0; at < 1_000; at++) packer.add(String(at))
    packer.add(large)
    packer.add('last')
    const unpacker = new Unpacker(packer.take())
    for (let at = 0; at < 1_000; at++) expect(String(unpacker.next())).to.equal(String(at))
    expect([String(unpacker.next()) === large, String(unpacker.next())]).to.deep.equal([true, 'last'])
    expect(packer.take().bytes.byteLength).to.equal(0)
  })
})
