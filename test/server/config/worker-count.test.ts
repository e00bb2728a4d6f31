import { expect } from 'chai'
import { usableCores, workerCountOf } from '../../../src/server/config/worker-count.js'

describe('the number of workers', () => {
  const cores = (files: Readonly<Record<string, string>>, available = 64): number =>
    usableCores(available, path => files[path])

  it('is as configured, or the usable cores', () => {
    const settings = { restartPauseMs: 1 }
    expect(workerCountOf({ ...settings, count: 3 })).to.equal(3)
    expect(workerCountOf({ ...settings, count: 'auto' })).to.equal(usableCores())
  })

  it('usable cores are those that the process may run on where nothing limits it', () => {
    expect(cores({})).to.equal(64)
    expect(cores({ '/proc/self/cgroup': '0::/\n' })).to.equal(64)
    expect(cores({ '/proc/self/cgroup': '0::/\n', '/sys/fs/cgroup/cpu.max': 'max 100000\n' })).to.equal(64)
  })

  it('usable cores are no more than the limit of a container gives, rounded down, and at least one', () => {
    const limited = (max: string) => cores({ '/proc/self/cgroup': '0::/\n', '/sys/fs/cgroup/cpu.max': max })
    expect(limited('400000 100000\n')).to.equal(4)
    expect(limited('150000 100000\n')).to.equal(1)
    expect(limited('50000 100000\n')).to.equal(1)
    expect(limited('100000000 100000\n')).to.equal(64)
    expect(limited('not what is expected')).to.equal(64)
  })

  it('usable cores are limited by any group above the own one', () => {
    const files = {
      '/proc/self/cgroup': '0::/system.slice/castellan.service\n',
      '/sys/fs/cgroup/system.slice/castellan.service/cpu.max': 'max 100000\n',
      '/sys/fs/cgroup/system.slice/cpu.max': '300000 100000\n',
      '/sys/fs/cgroup/cpu.max': '800000 100000\n'
    }
    expect(cores(files)).to.equal(3)
  })

  it('usable cores are limited by groups of the first version', () => {
    const files = (quota: string) => ({
      '/proc/self/cgroup': '12:memory:/docker/1\n3:cpu,cpuacct:/docker/1\n2:cpuset:/docker/1\n',
      '/sys/fs/cgroup/cpu/cpu.cfs_quota_us': `${quota}\n`,
      '/sys/fs/cgroup/cpu/cpu.cfs_period_us': '100000\n'
    })
    expect(cores(files('200000'))).to.equal(2)
    expect(cores(files('-1'))).to.equal(64)
  })

  it('usable cores are at least one, and a whole number, on the machine of the test', () => {
    expect(usableCores()).to.be.at.least(1).and.satisfy(Number.isInteger)
  })
})
