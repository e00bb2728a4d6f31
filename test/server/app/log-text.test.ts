import { expect } from 'chai'
import { logText, type TextLook } from '../../../src/server/app/logger.js'

const time = new Date(2026, 10, 26, 9, 5, 4).toISOString()
const shown = (fields: object, look: Partial<TextLook> = {}): string =>
  logText(JSON.stringify({ level: 'info', time, ...fields }), { colors: false, columns: undefined, ...look })

describe('a line of the log for people', () => {
  it('has the fields that its message does not tell, once', () => {
    const fields = { url: 'http://a:1', host: 'a', ports: [1, 2], waiting: 0, of: { n: 1 }, name: 'b' }
    expect(shown({ ...fields, msg: 'listening on http://a:1, 2 wait' })).to.equal(
      '[09:05:04] INFO: listening on http://a:1, 2 wait (ports 1 2, waiting 0, of {"n":1}, name b)\n'
    )
    expect(shown({ level: 'warn', msg: 'stopped' })).to.equal('[09:05:04] WARN: stopped\n')
  })

  it('has the reason of an error in its line, and the stack of a bug below it', () => {
    const err = { name: 'UnavailableError', code: 'brokerUnreachable', message: 'refused' }
    expect(shown({ err, msg: 'away' })).to.equal('[09:05:04] INFO: away (reason refused)\n')
    expect(shown({ err, msg: 'away: refused' })).to.equal('[09:05:04] INFO: away: refused\n')
    const bug = { name: 'TypeError', message: 'bad', stack: 'TypeError: bad\n    at x' }
    expect(shown({ err: bug, msg: 'failed' })).to.equal('[09:05:04] INFO: failed\n    TypeError: bad\n        at x\n')
  })

  it('is as wide as the terminal, and never breaks a word or a command', () => {
    const msg = 'one two three four five six seven eight nine ten eleven twelve'
    const lines = shown({ msg, where: 'x'.repeat(40) }, { columns: 40 }).split('\n')
    expect(lines.slice(0, 2)).to.deep.equal([
      '[09:05:04] INFO: one two three four five',
      '    six seven eight nine ten eleven'
    ])
    expect(lines.join('').replaceAll('    ', ' ')).to.include(msg).and.include('x'.repeat(40))
    expect(lines.filter(line => line.length > 40)).to.deep.equal([`    ${'x'.repeat(40)})`])
    expect(shown({ msg: `try: curl ${msg}` }, { columns: 40 }).split('\n')).to.have.length(2)
  })

  it('has its level in color where that is asked for', () => {
    expect(shown({ level: 'error', msg: 'ERROR' }, { colors: true })).to.equal(
      '[09:05:04] \u001b[31mERROR\u001b[39m: ERROR\n'
    )
  })
})
