import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { isAbsolute, join } from 'node:path'
import { expect } from 'chai'
import { stringify } from 'yaml'
import { arionSettings } from '../../../examples/bench/arion.js'
import { pixySettings } from '../../../examples/bench/pixy.js'
import { HOOKS } from '../../../examples/bench/push.js'
import { loadConfig } from '../../../src/server/config/config.js'

describe('bench settings', () => {
  let directory: string
  before(() => {
    directory = mkdtempSync(join(tmpdir(), 'castellan-bench-settings-'))
  })
  after(() => rmSync(directory, { recursive: true }))

  const load = (settings: object) => {
    const file = join(directory, 'castellan.yaml')
    writeFileSync(file, stringify(settings))
    return loadConfig({ file })
  }

  it('keep the messages of Arion on disk', () => {
    const { wal, apis } = load(arionSettings('/log'))
    expect(wal).to.include({ directory: '/log', fsyncTakes: true })
    expect(apis.arion.durability).to.equal('disk')
  })

  it('let groups of Kafka-Pixy begin at the earliest record', () => {
    expect(load(pixySettings).consumer.start).to.equal('earliest')
  })

  it('name the hooks of kafboy in a way that is right in any folder', () => {
    expect(isAbsolute(HOOKS) && existsSync(HOOKS), HOOKS).to.equal(true)
  })
})
