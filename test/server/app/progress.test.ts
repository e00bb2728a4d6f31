import { PassThrough } from 'node:stream'
import { expect } from 'chai'
import sinon from 'sinon'
import { openProgress } from '../../../src/cli/standard-output.js'
import { ProgressTeller } from '../../../src/server/app/progress.js'

const MIB = 1024 * 1024
const amount = (records: number, bytes: number) => ({ records, bytes })

describe('the progress of long work', () => {
  it('is told each ten seconds: records, bytes, rate, and what is left', () => {
    const [said, clock] = [[] as string[], sinon.useFakeTimers({ toFake: ['performance'] })]
    const { tell } = new ProgressTeller(
      text => said.push(text),
      () => performance.now()
    )
    for (let second = 1; second <= 25; second++) {
      clock.tick(1_000)
      tell(amount(1_000 * second, 20 * MIB * second), amount(0, 20 * MIB * (30 - second)))
    }
    clock.restore()
    expect(said).to.deep.equal([
      '10 000 records, 200 MiB, 20 MiB/s; 400 MiB left, 20 s',
      '20 000 records, 400 MiB, 20 MiB/s; 200 MiB left, 10 s'
    ])
  })

  it('is told in records where bytes are not known, of each part by itself, and not while nothing moves', () => {
    const said: string[] = []
    let now = 0
    const { tell } = new ProgressTeller(
      text => said.push(text),
      () => now
    )
    now = 10_000
    tell(amount(0, 0), amount(90, 0))
    tell(amount(30, 0), amount(60, 0))
    now = 30_000
    tell(amount(30, 0), amount(60, 0))
    now = 35_000
    tell(amount(10, 0), amount(2, 0), 'another log')
    expect(said).to.deep.equal([
      '30 records, 3 records/s; 60 records left, 20 s',
      '10 records, 2 records/s; 2 records left, 1 s'
    ])
  })

  const onStderr = async (parts: object): Promise<string> => {
    const stream = new PassThrough()
    const clock = sinon.useFakeTimers({ toFake: ['performance'] })
    try {
      const { tell, end } = await openProgress(Object.assign(stream, parts) as unknown as NodeJS.WriteStream, 'verify')
      for (let second = 1; second <= 12; second++) {
        clock.tick(1_000)
        if (second % 5 === 0) tell(amount(second, second * MIB), amount(0, MIB))
      }
      end()
      return (stream.read() as Buffer | null)?.toString() ?? ''
    } finally {
      clock.restore()
    }
  }

  it('is a line of stderr, and on a terminal one that is written anew and removed in the end', async () => {
    expect(await onStderr({})).to.equal('verify: 10 records, 10 MiB, 1 MiB/s; 1 MiB left, 1 s\n')
    expect(await onStderr({ isTTY: true, columns: 40 })).to.equal(
      '\r\u001b[Kverify: 5 records, 5 MiB, 1 MiB/s; 1 Mi\r\u001b[Kverify: 10 records, 10 MiB, 1 MiB/s; 1 \r\u001b[K'
    )
  })
})
