import { expect } from 'chai'
import { type Failure, type Rerun, rerunsOf, runAgain } from './run-again.js'

const failure = (file: string, title: string, isHook = false): Failure => ({ file, title, isHook, error: 'why' })

describe('the second run of a failed test', () => {
  async function outcome(failures: readonly Failure[], passes: (rerun: Rerun) => boolean) {
    const ran: string[] = []
    const said: string[] = []
    const passesAgain = async (rerun: Rerun): Promise<boolean> => {
      ran.push(rerun.title)
      return passes(rerun)
    }
    const red = await runAgain(failures, 'seed 7, log 7.log', passesAgain, line => said.push(line))
    return { red, ran, named: said.filter(line => /^(unstable|red twice): /.test(line)) }
  }
  const failures = (count: number): Failure[] => Array.from({ length: count }, (_, at) => failure('a', `t${at}`))

  it('makes a test green that passes then, and names it as unstable with its seed and log', async () => {
    expect(await outcome(failures(1), () => true)).to.deep.equal({
      red: 0,
      ran: ['t0'],
      named: ['unstable: t0, seed 7, log 7.log']
    })
  })

  it('leaves a test red that fails twice, beside one that does not', async () => {
    expect(await outcome(failures(2), ({ title }) => title === 't0')).to.deep.equal({
      red: 1,
      ran: ['t0', 't1'],
      named: ['unstable: t0, seed 7, log 7.log', 'red twice: t1, seed 7, log 7.log']
    })
  })

  it('is not given to more than three failures, which are red', async () => {
    expect((await outcome(failures(3), () => true)).red).to.equal(0)
    expect(await outcome(failures(4), () => true)).to.deep.equal({ red: 4, ran: [], named: [] })
  })

  it('runs one test by its whole title, and a whole file once when one of its hooks failed', () => {
    const [rerun] = rerunsOf([failure('a', 'reads 1.5 (of 2)')])
    expect(new RegExp(rerun!.grep!).test('reads 1.5 (of 2)')).to.equal(true)
    expect(
      ['reads 1x5 (of 2)', 'reads 1.5 (of 2) again', 'it reads 1.5 (of 2)'].filter(title =>
        new RegExp(rerun!.grep!).test(title)
      )
    ).to.deep.equal([])
    const hook = failure('a', '"after all" hook', true)
    expect(rerunsOf([failure('a', 't'), hook, hook, failure('b', 'u')])).to.deep.equal([
      { file: 'a', title: '"after all" hook' },
      { file: 'b', title: 'u', grep: '^u$' }
    ])
  })
})
