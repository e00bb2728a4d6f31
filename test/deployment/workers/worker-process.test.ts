import { expect } from 'chai'
import { WholeLines } from '../../../src/deployment/workers/worker-process.js'

const MIB = 1_048_576

describe('the lines of several processes', () => {
  function collect(): { lines: WholeLines; written: Buffer[]; text: () => string } {
    const written: Buffer[] = []
    return {
      lines: new WholeLines(lines => written.push(lines)),
      written,
      text: () => Buffer.concat(written).toString()
    }
  }

  it('are passed on whole, whatever the pieces are in which they come', () => {
    const said = Buffer.from('one\ntwo ü\nthree')
    for (let size = 1; size <= said.length; size++) {
      const { lines, written, text } = collect()
      for (let at = 0; at < said.length; at += size) lines.add(said.subarray(at, at + size))
      lines.end()
      lines.end()
      expect(text()).to.equal(`${said}\n`)
      expect(written.every(one => one.at(-1) === 0x0a)).to.equal(true)
    }
  })

  it('are passed on in pieces when they are too long, and no byte is lost', () => {
    const { lines, written, text } = collect()
    const said: string[] = []
    for (let n = 0; n < 100; n++) {
      const chunk = String(n).padStart(65_536, '.')
      said.push(chunk)
      lines.add(Buffer.from(chunk))
    }
    expect(written.length).to.be.above(4)
    lines.add(Buffer.from('end\nnext'))
    lines.end()
    expect(Math.max(...written.map(({ length }) => length))).to.be.most(MIB + 65_536)
    expect(text().replaceAll('\n', '')).to.equal(`${said.join('')}endnext`)
    expect(text().endsWith('end\nnext\n')).to.equal(true)
  })

  it('hold what their buffers take, not only their bytes', () => {
    const { lines, written } = collect()
    const letter = Buffer.from('x')
    let count = 0
    while (written.length === 0 && count < MIB) {
      lines.add(letter)
      count++
    }
    expect(count).to.be.most(10_000)
  })
})
