import { readFileSync } from 'node:fs'
import { expect } from 'chai'
import { consumerSettings } from '../../../src/consumer/group/settings.js'
import { describeSchema } from '../../../src/core/settings/leaves.js'
import { openCastellan } from '../../../src/index.js'

describe('the settings of groups', () => {
  it('are all in docs/library.md, with type, default and meaning', () => {
    const rows = describeSchema(consumerSettings).leaves.map(({ path, type, defaultValue, description }) => {
      const shown = typeof defaultValue === 'number' ? defaultValue.toLocaleString('en-US') : defaultValue
      return `| \`${path.join('.')}\` | ${type} | ${shown === undefined ? '' : `\`${shown}\``} | ${description} |`
    })
    const page = readFileSync('docs/library.md', 'utf8')
    const table = page.match(/^\| setting \| type \| default \| meaning \|\n.*\n((?:\|.*\n)+)/m)![1]!
    expect(table.trim().split('\n')).to.deep.equal(rows)
  })

  it('are checked', async () => {
    const options = { brokers: '127.0.0.1:1', consumer: { maxRetries: -2 } }
    const error = await openCastellan(options).then(
      () => undefined,
      (reason: Error) => reason
    )
    expect(error?.message).to.match(/consumer\.maxRetries/)
  })
})
