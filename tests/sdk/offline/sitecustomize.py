"""On the path of the programs that the suite starts: in them, too, no name is looked up."""

from support.offline import refuse_names

refuse_names()
