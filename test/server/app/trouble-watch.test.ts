import { expect } from 'chai'
import { silentLogger } from '../../../src/core/model.js'
import type { Trouble } from '../../../src/http/status/status.js'
import { TroubleWatch } from '../../../src/server/app/trouble-watch.js'

const DAY_MS = 86_400_000

describe('trouble that no request meets', () => {
  let now: number
  let rows: Trouble[]
  let lines: [fields: object, text: string][]
  let watch: TroubleWatch
  const row = (subject: string): Trouble => ({
    severity: 'warning',
    kind: 'certificateEnds',
    subject,
    cause: 'It ends.',
    next: 'Renew it.',
    see: 'its.certFile'
  })
  beforeEach(() => {
    now = 0
    rows = []
    lines = []
    const log = { ...silentLogger, warn: (fields: object, text: string) => void lines.push([fields, text]) }
    watch = new TroubleWatch(
      () => rows,
      log,
      () => now
    )
  })

  it('is a warning with its kind, subject and setting as fields', () => {
    watch.look()
    expect(lines).to.deep.equal([])
    rows = [row('certificate of http.tls')]
    watch.look()
    const fields = { kind: 'certificateEnds', subject: 'certificate of http.tls', see: 'its.certFile' }
    expect(lines).to.deep.equal([[fields, 'certificate of http.tls: It ends. Renew it.']])
  })

  it('is told of each kind, and of many subjects as often as they are found anew', () => {
    rows = [row('one'), { ...row('one'), kind: 'queueHeldLong' }]
    watch.look()
    expect(lines).to.have.length(2)
    rows = Array.from({ length: 1_000 }, (_, at) => row(`subject ${at}`))
    watch.look()
    rows = [row('one')]
    watch.look()
    expect(lines).to.have.length(1_003)
  })

  it('is told once a day for each subject, however often it is looked for', () => {
    rows = [row('one')]
    for (; now < 3 * DAY_MS; now += 10_000) {
      if (now === DAY_MS / 2) rows = [row('one'), row('other')]
      watch.look()
    }
    expect(lines.map(([, text]) => text.split(':')[0])).to.deep.equal(['one', 'other', 'one', 'other', 'one', 'other'])
  })

  it('is told again after a reload that has not mended it', () => {
    rows = [row('one'), row('other')]
    watch.look()
    rows = [row('other')]
    watch.reloaded()
    watch.look()
    expect(lines.map(([, text]) => text.split(':')[0])).to.deep.equal(['one', 'other', 'other'])
  })
})
