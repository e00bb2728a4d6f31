import { expect } from 'chai'
import { lineOf } from '../../../src/cli/commands/receipt.js'
import { runCommand } from '../run-command.js'

describe('castellan receipt', () => {
  it('says what is wrong with an address or a token file', async () => {
    const address = await runCommand(['receipt', 'a', '--gateway', '127.0.0.1:18110'])
    expect(address.stderr).to.contain('--gateway takes a URL such as http://127.0.0.1:8080, not "127.0.0.1:18110"')
    const file = await runCommand(['receipt', 'a', '--token-file', '/nope'])
    expect(file.stderr).to.contain('--token-file: ENOENT')
    for (const { code, stderr } of [address, file]) {
      expect(code).to.equal(2)
      expect(stderr).not.to.contain('bug')
    }
  })

  it('writes one line per record, and no control character of a name', () => {
    const place = { topic: 'orders', partition: 3 }
    expect(lineOf({ index: 0, state: 'inKafka', ...place, offset: 17 }, 'table')).to.equal(
      '    0  inKafka     orders/3 offset 17\n'
    )
    expect(lineOf({ index: 1, state: 'inKafka', ...place, offset: null }, 'table')).to.match(/offset unknown\n$/)
    expect(lineOf({ index: 12, state: 'waiting', topic: 'orders', why: 'no\u001b[2J leader' }, 'table')).to.match(
      /^ {3}12 {2}waiting {5}orders {2}no.*leader\n$/
    )
    expect(lineOf({ index: 12, state: 'unknown', why: '\u001b[2J' }, 'table')).not.to.include('\u001b')
    expect(lineOf({ index: 2, state: 'refused' }, 'json')).to.equal('{"index":2,"state":"refused"}\n')
  })
})
