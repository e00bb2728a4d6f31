import { expect } from 'chai'
import { WholeLines } from '../../../src/cluster/workers/worker-process.js'

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

  it('are passed on when they are whole', () => {
    const { lines, written, text } = collect()
    lines.add(Buffer.from('one\ntw'))
    expect(text()).to.equal('one\n')
    lines.add(Buffer.from('o'))
    lines.add(Buffer.from('\nthree\nfo'))
    expect(text()).to.equal('one\ntwo\nthree\n')
    lines.end()
    lines.end()
    expect(text()).to.equal('one\ntwo\nthree\nfo\n')
    expect(written.every(one => one.at(-1) === 0x0a)).to.equal(true)
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
