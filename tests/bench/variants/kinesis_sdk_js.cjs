// A loop over the AWS SDK for JavaScript's `GetRecords`, one shard, no pause. It stores no position and never retries.
// Standard input has the plan, standard output gets what was measured: the same, in the same way, as meter.py's.
"use strict";

const { Agent } = require("node:http");
const { Agent: TlsAgent } = require("node:https");
const { closeSync, openSync, readFileSync, readSync } = require("node:fs");
const { createRequire } = require("node:module");

const SHARD = "shardId-000000000000";
const SOURCE = {
  eventSource: "aws:kinesis",
  eventVersion: "1.0",
  eventName: "aws:kinesis:record",
  invokeIdentityArn: "arn:aws:iam::123456789012:role/bench",
  awsRegion: "eu-west-1",
};

const plan = JSON.parse(process.argv[2]);
const load = createRequire(`${plan.modules}/`);
const { GetRecordsCommand, GetShardIteratorCommand, KinesisClient } = load("@aws-sdk/client-kinesis");
const { NodeHttpHandler } = load("@smithy/node-http-handler");

/** Counts what the handler gets, and ends when there is enough. */
class Meter {
  constructor() {
    this.records = 0;
    this.handled = [];
    this.counter = openSync(plan.counter);
    this.page = Buffer.alloc(8);
  }

  /** The handler: does nothing but count. */
  handle = async (event) => {
    this.records += event.Records.length;
    if (plan.total) this.handled.push(...event.Records.map(handled));
  };

  /** Called between pages: whether there is enough. */
  lap() {
    if (plan.total) return this.records >= plan.total;
    const now = this.reading();
    if (!this.start) {
      if (now.polls >= plan.warm_up && now.cpu_s >= plan.warm_up_s) this.start = now;
      return false;
    }
    const { cpu_s, wall_s, polls } = this.start;
    const over = Math.max((now.cpu_s - cpu_s) / plan.cpu_s, (now.wall_s - wall_s) / plan.wall_s) >= 1;
    if (!over || now.polls === polls) return false;
    this.end = now;
    return true;
  }

  /** The process at this moment. CPU: user and system, of all threads. Polls: as the server counted them. */
  reading() {
    const { user, system } = process.cpuUsage();
    readSync(this.counter, this.page, 0, 8, 0);
    return {
      cpu_s: (user + system) / 1e6,
      wall_s: performance.now() / 1e3,
      records: this.records,
      polls: Number(this.page.readBigUInt64LE()),
    };
  }

  result() {
    closeSync(this.counter);
    if (!this.end) return { handled: this.handled };
    const measured = Object.fromEntries(Object.entries(this.end).map(([name, value]) => [name, value - this.start[name]]));
    return { ...measured, rss_mib: process.resourceUsage().maxRSS / 1024 };
  }
}

function handled({ eventID, kinesis }) {
  const [shard, number] = eventID.split(":");
  return [shard, number, Number(Buffer.from(kinesis.data, "base64").toString().slice(0, 5))];
}

/** Lambda's event of what the SDK gives: bytes and dates. */
function eventOf(records) {
  return {
    Records: records.map(({ ApproximateArrivalTimestamp, Data, PartitionKey, SequenceNumber }) => ({
      kinesis: {
        kinesisSchemaVersion: "1.0",
        partitionKey: PartitionKey,
        sequenceNumber: SequenceNumber,
        data: Buffer.from(Data.buffer, Data.byteOffset, Data.byteLength).toString("base64"),
        approximateArrivalTimestamp: ApproximateArrivalTimestamp.getTime() / 1000,
      },
      ...SOURCE,
      eventID: `${SHARD}:${SequenceNumber}`,
      eventSourceARN: plan.arn,
    })),
  };
}

async function main() {
  const kept = { keepAlive: true, maxSockets: 1 };
  const ca = plan.authority ? readFileSync(plan.authority) : undefined;
  const client = new KinesisClient({
    endpoint: plan.url,
    region: "eu-west-1",
    credentials: { accessKeyId: "bench", secretAccessKey: "bench" },
    requestHandler: new NodeHttpHandler({ httpAgent: new Agent(kept), httpsAgent: new TlsAgent({ ...kept, ca }) }),
  });
  const asked = { StreamARN: plan.arn, ShardId: SHARD, ShardIteratorType: "TRIM_HORIZON" };
  let { ShardIterator } = await client.send(new GetShardIteratorCommand(asked));
  const meter = new Meter();
  while (!meter.lap()) {
    const command = new GetRecordsCommand({ ShardIterator, Limit: 10_000, StreamARN: plan.arn });
    const { NextShardIterator, Records } = await client.send(command);
    ShardIterator = NextShardIterator;
    for (let start = 0; start < Records.length; start += plan.batch_size) {
      await meter.handle(eventOf(Records.slice(start, start + plan.batch_size)));
    }
  }
  client.destroy();
  process.stdout.write(JSON.stringify(meter.result()));
}

main();
