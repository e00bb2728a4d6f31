import { expect } from 'chai'
import { describeFlags, type Flag, parseFlags } from '../../src/main/flags.js'
import { UsageError } from '../../src/main/usage-error.js'

const flags: Flag[] = [
  { name: 'port', short: 'p', placeholder: 'PORT', help: 'the port', setting: ['http', 'port'] },
  { name: 'embedded', help: 'the embedded broker', setting: ['embedded', 'enabled'] },
  { name: 'count', placeholder: 'N', help: 'how many' },
  { name: 'from', placeholder: 'WHERE', help: 'where' },
  { name: 'set', placeholder: 'NAME=VALUE', isRepeatable: true, help: 'any' }
]
const parse = (...args: string[]) => parseFlags(args, flags, ['TOPIC'])
const problemOf = (run: () => unknown): string => {
  try {
    run()
  } catch (error) {
    expect(error).to.be.instanceOf(UsageError)
    return (error as Error).message
  }
  throw new Error('nothing was thrown')
}

describe('flags', () => {
  it('become settings, in every way of writing them', () => {
    for (const args of [['--port', '1'], ['--port=1'], ['-p', '1'], ['-p1']]) {
      expect(parse(...args).settings()).to.deep.equal([{ flag: '--port', path: ['http', 'port'], value: '1' }])
    }
    expect(parse('--embedded').settings()).to.deep.equal([
      { flag: '--embedded', path: ['embedded', 'enabled'], value: true }
    ])
  })

  it('set anything by its name, values with = included', () => {
    expect(parse('--set', 'a.b=c=d', '--set=e=').settings()).to.deep.equal([
      { flag: '--set a.b', path: ['a', 'b'], value: 'c=d' },
      { flag: '--set e', path: ['e'], value: '' }
    ])
    expect(problemOf(() => parse('--set', 'a').settings())).to.match(/^--set takes NAME=VALUE/)
  })

  it('take values that begin with a dash', () => {
    expect(parse('orders', '--from', '-10').text('from')).to.equal('-10')
    expect(parse('--from=-10').text('from')).to.equal('-10')
  })

  it('tell arguments from flags', () => {
    expect(parse('orders', '-p', '1').positionals).to.deep.equal(['orders'])
    expect(parse('--', '--port').positionals).to.deep.equal(['--port'])
    expect(problemOf(() => parse('orders', 'more'))).to.equal(
      '"more" is one argument too many; only TOPIC is expected here'
    )
  })

  it('say what was probably meant', () => {
    expect(problemOf(() => parse('--prot', '1'))).to.equal('unknown flag --prot; did you mean --port?')
    expect(problemOf(() => parse('--something-else'))).to.equal('unknown flag --something-else')
    expect(problemOf(() => parse('-x'))).to.equal('unknown flag -x')
  })

  it('say when a value is missing, or there must be none', () => {
    expect(problemOf(() => parse('--port'))).to.equal('--port needs a value: --port PORT')
    expect(problemOf(() => parse('--port='))).to.equal('--port needs a value: --port PORT')
    expect(problemOf(() => parse('--embedded=no'))).to.equal('--embedded takes no value')
  })

  it('read whole numbers', () => {
    expect(parse('--count', '5').count('count', 1)).to.equal(5)
    expect(parse().count('count', 1)).to.equal(undefined)
    for (const text of ['0', '1.5', 'x', '-1', '1e3', '99999999999999999999']) {
      expect(problemOf(() => parse('--count', text).count('count', 1))).to.match(
        /^--count takes a whole number of at least 1/
      )
    }
  })

  it('are described in two columns', () => {
    expect(describeFlags(flags.slice(0, 2))).to.equal(
      '  -p, --port PORT  the port\n      --embedded   the embedded broker'
    )
  })
})
