import type { LogCallName, LogCalls, LogCore, LogHost } from '../../src/producer/log/log-host.js'

/** Runs the log in place: every call blocks the caller for as long as the disk takes. */
export class InlineLogHost implements LogHost {
  readonly core: LogCore

  constructor(core: LogCore) {
    this.core = core
  }

  async call<Name extends LogCallName>(
    name: Name,
    ...args: Parameters<LogCalls[Name]>
  ): Promise<ReturnType<LogCalls[Name]>> {
    return Reflect.apply(this.core[name], this.core, args)
  }
}
